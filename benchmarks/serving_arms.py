"""The arms of serving_load.py: each is started once, stays up while others have their turns, and
says how many seconds of processor all its processes have used."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving_client import Answers, Load

IN_PROCESS, PRODUCT, LITSERVE, BENTOML = "in process", "persona-ray", "LitServe", "BentoML"
START_S, END_S = 150.0, 60.0
_MARK = "SERVING_LOAD_ARM"
_PEER_PATHS = {"clips": "/clips", "asr": "/clips", "calls": "/calls"}
_PEER_FIELDS = {"file": "file", "text": "text", "channel": "channel"}


@dataclass(frozen=True)
class Settings:
    """`name` is in the table; `overrides` are of the product's configuration; `workers`, `threads`
    and `batch` of the others, `service` of BentoML, `app` of the product."""

    arm: str
    name: str = ""
    workers: int = 2
    threads: int = 1
    batch: int = 1
    service: str = ""
    app: str = "personality"
    overrides: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        return f"{self.arm} {self.name}".strip()


@dataclass(frozen=True)
class Place:
    """Where arms find the configuration and the requests; `peers`: a Python that has them."""

    config: Path
    overrides: tuple[str, ...]
    folder: Path
    peers: Path | None


@dataclass
class Arm:
    """A process with all that it starts, known by a mark in their environment."""

    settings: Settings
    place: Place
    port: int = field(default_factory=lambda: free_port())
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        environment = {**os.environ, _MARK: self.mark, **dict(self.settings.environment)}
        environment |= self._environment()
        self._began = time.perf_counter()
        self._log = (self.place.folder / f"{self.settings.title.replace(' ', '-')}.log").open("w")
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if self.settings.arm == IN_PROCESS else self._log,
            stderr=self._log,
            env=environment,
            text=True,
            start_new_session=True,
        )

    @property
    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == self.mark:
                    found.append(process)
        return found

    def used_s(self) -> dict[str, float]:
        """Seconds of processor that its processes have used so far, by what they are."""
        used: dict[str, float] = defaultdict(float)
        for process in self.processes:
            with suppress(psutil.Error):
                times = process.cpu_times()
                used[_what(process)] += times.user + times.system
        return used

    def memory_mb(self) -> float:
        """What all its processes hold, shared pages counted once each."""
        total = 0.0
        for process in self.processes:
            with suppress(psutil.Error):
                total += process.memory_full_info().pss / 1e6
        return total

    def ask(self, client: Any, kind: str, count: int, clients: int) -> Answers:
        """A turn: by the load generator, or of itself where it has no server."""
        if self.settings.arm == IN_PROCESS:
            return _exchange(self._process, {"kind": kind, "count": count})
        product = self.settings.arm == PRODUCT
        many = kind != "calls"
        fields = {"file": "files" if many else "file", "text": "texts", "channel": "channel"}
        paths = f"/v1/recognitions/{'clips' if many else 'calls'}"
        url = f"http://127.0.0.1:{self.port}{paths if product else _PEER_PATHS[kind]}"
        load = Load(kind, url, fields if product else _PEER_FIELDS, count, clients)
        return _exchange(client, asdict(load))

    def end(self) -> None:
        """Ask it to end; what is left of it after that is killed."""
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        for process in self.processes:
            with suppress(psutil.Error):
                process.kill()
        self._log.close()

    def _environment(self) -> dict[str, str]:
        one = self.settings
        if one.arm == PRODUCT:
            return {}
        # Threads are those of the settings, in every library.
        threads = {"OMP_NUM_THREADS": str(one.threads)}
        if one.arm != BENTOML:
            return threads
        bento: dict[str, Any] = {
            "config": str(self.place.config),
            "overrides": self.place.overrides,
        }
        bento |= {"workers": one.workers, "threads": one.threads, "batch": one.batch}
        own = {"SERVING_BENTOML": json.dumps(bento), "BENTOML_DO_NOT_TRACK": "true"}
        return threads | own

    def _command(self) -> list[str]:
        one, place = self.settings, self.place
        overrides = [f"--set={override}" for override in place.overrides]
        asked = ["--config", str(place.config), *overrides]
        if one.arm == PRODUCT:
            command = [
                str(Path(sys.executable).with_name("persona-ray")),
                "serve",
                *asked,
                "--app",
                one.app,
            ]
            command += [f"--set=serving.port={self.port}", "--set=serving.keys.required=false"]
            return command + [f"--set={override}" for override in one.overrides]
        if one.arm == BENTOML:
            command = [str(place.peers), "-m", "bentoml", "serve", "--host", "127.0.0.1"]
            return [*command, "--port", str(self.port), f"benchmarks.serving_bentoml:{one.service}"]
        settings = ["--workers", one.workers, "--threads", one.threads, "--batch", one.batch]
        asked += [*map(str, settings), "--folder", str(place.folder)]
        if one.arm == LITSERVE:
            asked += ["--port", str(self.port)]
            return [str(place.peers), "-m", "benchmarks.serving_litserve", *asked]
        return [sys.executable, "-m", "benchmarks.serving_inprocess", *asked]

    def wait(self) -> float:
        """Until it answers; the seconds since it was started."""
        if self.settings.arm == IN_PROCESS:
            assert self._process.stdout is not None
            if "ready" not in self._process.stdout.readline():
                sys.exit(f"error: {self.settings.title} did not start: {self._log.name}")
            return time.perf_counter() - self._began
        ready = {PRODUCT: "/health/ready", LITSERVE: "/health", BENTOML: "/readyz"}
        url = f"http://127.0.0.1:{self.port}{ready[self.settings.arm]}"
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return time.perf_counter() - self._began
            time.sleep(0.25)
        sys.exit(f"error: {self.settings.title} did not start in {START_S:.0f} s: {self._log.name}")


def _what(process: psutil.Process) -> str:
    """Ray's processes name themselves, others are their module or program."""
    words = process.cmdline()
    if words[0].startswith("ray::"):
        # Behind a dot stands the method that it is in.
        return words[0].removeprefix("ray::").split(".")[0]
    modules = [after for before, after in pairwise(words) if before == "-m"]
    return (modules or [word for word in words if word.endswith(".py")] or words)[0].split("/")[-1]


def prepare_alone(place: Place) -> None:
    """The requests and their answers, in a process with the threads of the arms."""
    overrides = [f"--set={override}" for override in place.overrides]
    command = [sys.executable, "-m", "benchmarks.serving_requests", str(place.folder)]
    subprocess.run(
        [*command, "--config", str(place.config), *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )


def start_client(place: Place) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serving_client", str(place.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def missing(place: Place, module: str) -> bool:
    """Whether the peers' Python lacks one."""
    if place.peers is None:
        return True
    command = [str(place.peers), "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _exchange(process: subprocess.Popen[str], asked: dict[str, Any]) -> Answers:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit(f"error: the process of {' '.join(map(str, process.args))} ended")  # type: ignore[arg-type]
    return Answers(**json.loads(line))
