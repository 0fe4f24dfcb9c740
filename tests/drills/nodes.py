"""Ray nodes on this machine as processes of their own, to be killed without mercy."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).with_name("ray"))
START_S = 180
# What nodes say on their way up.
SAID = "started.log"
# Of the Redis at RAY_REDIS_ADDRESS; Ray takes the password on its command line alone.
_REDIS = "REDIS_PASSWORD"


@dataclass(frozen=True)
class Nodes:
    """A cluster: its head and what joined it. `environment` is what its processes run with,
    `folder` where they write, `start` how its head is started."""

    address: str
    dashboard: str
    environment: Mapping[str, str]
    folder: Path
    stack: ExitStack
    start: list[str]
    heads: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def begin(self) -> None:
        """Start the head; once more, after `kill_head`."""
        head = self.stack.enter_context(_running(self.start, self.environment, self.folder))
        self._wait(head)
        self.heads.append(head)

    def kill_head(self) -> None:
        """With what a machine that comes back would not find of it, either."""
        kill(self.heads[-1].pid)
        self.heads[-1].wait()
        (self.folder / "ray_current_cluster").unlink()

    def add(self, cpus: int, ip: str = "", **environment: str) -> subprocess.Popen[bytes]:
        """One more node; the process holds all of it. `ip`: its own address, on a machine with
        folders of its own."""
        command = ["start", f"--address={self.address}", f"--num-cpus={cpus}", "--block"]
        if ip:
            folder = tempfile.mkdtemp(prefix="ray", dir=self.folder)
            command += [f"--node-ip-address={ip}", f"--temp-dir={folder}"]
        env = {**self.environment, **environment}
        node = self.stack.enter_context(_running(command, env, self.folder))
        self._wait(node)
        return node

    def _wait(self, node: subprocess.Popen[bytes]) -> None:
        said = self.folder / SAID
        wait_for(
            lambda: node.poll() is not None or b"raylet" in names(node),
            START_S,
            lambda: f"the node did not start: {said.read_text()[-2000:]}",
        )
        assert node.poll() is None, f"the node ended: {said.read_text()[-2000:]}"


@contextmanager
def cluster(
    cpus: int, dashboard: bool = False, ip: str = "", **environment: str
) -> Iterator[Nodes]:
    """A head with so many logical processors, stopped after the block with all its nodes. `ip`: its
    own address, where the machine has more than one.

    Its files lie in a folder of their own: other programs of the machine that look for a running
    Ray must not find it.
    """
    env = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"} | environment
    env.pop("RAY_ADDRESS", None)
    port, dashboard_port, host = free_port(), free_port(), ip or "127.0.0.1"
    # Short: paths of sockets may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    command = [
        "start",
        "--head",
        *([f"--node-ip-address={ip}"] if ip else []),
        *([f"--redis-password={environment[_REDIS]}"] if _REDIS in environment else []),
        f"--port={port}",
        f"--num-cpus={cpus}",
        f"--temp-dir={folder}",
        f"--include-dashboard={str(dashboard).lower()}",
        f"--dashboard-host={host}",
        f"--dashboard-port={dashboard_port}",
        # The usual one may be another cluster's.
        f"--dashboard-agent-listen-port={free_port()}",
        "--block",
    ]
    try:
        with ExitStack() as stack:
            at = f"http://{host}:{dashboard_port}"
            nodes = Nodes(f"{host}:{port}", at, env, folder, stack, command)
            nodes.begin()
            yield nodes
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(
    command: list[str], env: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / SAID).open("ab") as log:
        process = subprocess.Popen([RAY, *command], env=env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        kill(process.pid)
        process.wait()


def tree(pid: int) -> list[psutil.Process]:
    """The process and all below it."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(pid: int) -> None:
    """kill -9 of the process and all below it, as when a machine goes."""
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def names(process: subprocess.Popen[bytes]) -> bytes:
    """Names of the processes below, in one line."""
    assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
    found = []
    for below in tree(process.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(below.name())
    return " ".join(found).encode()


def train_workers() -> list[psutil.Process]:
    """Workers of Ray Train below this process: what it started, and what that started."""
    return [p for p in tree(os.getpid()) if "RayTrainWorker" in " ".join(_command(p))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(happened: object, timeout_s: float, otherwise: str | Callable[[], str]) -> float:
    """Seconds until `happened()` is true; AssertionError after `timeout_s`. `otherwise` is what it
    says; called for it where it tells what is then."""
    assert callable(happened)
    started = time.monotonic()
    while not happened():
        if time.monotonic() - started >= timeout_s:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(0.1)
    return time.monotonic() - started
