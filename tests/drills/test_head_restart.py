"""The head goes while callers are answered, and comes back with what Redis kept, which
`base/cluster.yaml` of the manifests asks the operator for."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml

from persona_ray.serving.deploy.proxy import ENVIRONMENT
from persona_ray.store import open_store
from tests.drills.nodes import Nodes, cluster, free_port, kill, tree, wait_for
from tests.drills.serving import bundles, sentences
from tests.unit.infra.manifests import KUBERNETES, documents
from tests.unit.models.test_bimodal import TEXTS

pytestmark = pytest.mark.drill

READY_S = 240.0
# How long there is no head, and how long callers are watched before and after.
AWAY_S, WATCHED_S = 20.0, 10.0
# A caller asks again after so long.
PAUSE_S = 0.2


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What processes of a cluster are told of a Redis server that keeps what the head knows."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine")
    port, password = free_port(), secrets.token_hex(16)
    settings = tmp_path / "redis.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\nrequirepass {password}\nappendonly yes\ndir {tmp_path}\n"
    )
    with (tmp_path / "redis.log").open("wb") as log:
        process = subprocess.Popen([program, str(settings)], stdout=log, stderr=log)
    try:
        yield {
            "RAY_REDIS_ADDRESS": f"127.0.0.1:{port}",
            "REDIS_PASSWORD": password,
            # As the operator names a cluster's part of the database.
            "RAY_external_storage_namespace": "drill",
            # As the operator sets it for workers: they wait for the head.
            "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
        }
    finally:
        kill(process.pid)
        process.wait()


@pytest.fixture
def nodes(redis: dict[str, str]) -> Iterator[Nodes]:
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    with cluster(0, dashboard=True, PATH=path, **redis, **token, **ENVIRONMENT) as made:
        yield made


@dataclass
class Caller:
    """Asks for the colour of one sentence on end, and notes what it hears."""

    url: str
    key: str
    sound: bytes
    answers: list[tuple[float, Any]] = field(default_factory=list)
    broken: list[tuple[float, str]] = field(default_factory=list)

    def ask(self) -> Any:
        files = {"files": ("a.wav", self.sound)}
        url = f"{self.url}/v1/recognitions/clips"
        headers = {"Authorization": f"Bearer {self.key}"}
        form = {"texts": TEXTS[0]}
        answer = requests.post(url, headers=headers, files=files, data=form, timeout=30)
        if answer.status_code != 200:
            raise OSError(f"{answer.status_code} {answer.text}")
        (clip,) = answer.json()["clips"]
        return clip["primary"], clip["text"]

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._go_on, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _go_on(self, over: threading.Event) -> None:
        while not over.wait(PAUSE_S):
            try:
                self.answers.append((time.monotonic(), self.ask()))
            except OSError as error:
                self.broken.append((time.monotonic(), str(error)))


def test_callers_are_answered_while_there_is_no_head(nodes: Nodes, tmp_path: Path) -> None:
    port = free_port()
    worker = nodes.add(6, RAY_SERVE_WORKER_PROXY_HTTP_PORT=str(port))
    _deploy(nodes, tmp_path)
    with open_store(_store(tmp_path)) as store:
        key = store.keys.create("drill", ["recognise"], requests_per_minute=100_000).token
    caller = Caller(f"http://127.0.0.1:{port}", key, sentences(1)[0])
    wait_for(lambda: _answers(caller), READY_S, "the worker's proxy does not answer")
    expected = caller.ask()
    with caller.asking():
        time.sleep(WATCHED_S)
        nodes.kill_head()
        gone = time.monotonic()
        time.sleep(AWAY_S)
        back = time.monotonic()
        nodes.begin()
        wait_for(lambda: _status(nodes) == "RUNNING", READY_S, "the application is not known")
        known_s = time.monotonic() - back
        # It is not only remembered: what dies is replaced.
        before = _replicas(worker, "whole")
        for process in before:
            process.kill()
        replaced_s = wait_for(
            lambda: set(_replicas(worker, "whole")) - set(before), READY_S, "no successor"
        )
        wait_for(lambda: _answers(caller), READY_S, "the successor does not answer")
        settled = time.monotonic()
        time.sleep(WATCHED_S)
    assert all(heard == expected for _, heard in caller.answers)
    without = [at for at, _ in caller.answers if gone < at < back]
    assert len(without) > AWAY_S, "hardly anybody was answered without a head"
    assert [why for at, why in caller.broken if at < back] == []
    assert [why for at, why in caller.broken if at > settled] == []
    print(
        f"\n{len(without)} answers in {AWAY_S:.0f} s without a head, none broken; "
        f"the application was known {known_s:.1f} s after the head's restart began; a killed "
        f"replica had a successor after {replaced_s:.1f} s"
    )


def _deploy(nodes: Nodes, folder: Path) -> None:
    """As the operator does."""
    (service,) = documents(KUBERNETES / "applications/personality/serve.yaml")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    config["http_options"] |= {"host": "127.0.0.1", "port": free_port()}
    arguments = config["applications"][0]["args"]
    arguments["config"] = ""
    arguments["set"] += [
        f"workspace={folder}",
        f"serving.bundle={bundles(folder)[0]}",
        f"store.url={_store(folder)}",
        "tracking.url=off",
        "cut.min_chars=3",
        "cut.max_clip_s=6",
    ]
    answer = _ask(nodes, "PUT", json=config)
    assert answer.status_code == 200, answer.text
    wait_for(lambda: _status(nodes) == "RUNNING", READY_S, "the application does not run")


def _store(folder: Path) -> str:
    return f"sqlite:///{folder / 'store.sqlite'}"


def _ask(nodes: Nodes, method: str, **given: object) -> requests.Response:
    headers = {"Authorization": f"Bearer {nodes.environment['RAY_AUTH_TOKEN']}"}
    url = f"{nodes.dashboard}/api/serve/applications/"
    return requests.request(method, url, headers=headers, timeout=60, **given)  # type: ignore[arg-type]


def _status(nodes: Nodes) -> str:
    """Empty: nobody can say."""
    try:
        answer = _ask(nodes, "GET")
    except requests.RequestException:
        return ""
    if answer.status_code != 200:
        return ""
    told = answer.json()["applications"].get("personality", {})
    assert told.get("status") != "DEPLOY_FAILED", told["message"]
    return str(told.get("status", ""))


def _answers(caller: Caller) -> bool:
    try:
        caller.ask()
    except OSError:
        return False
    return True


def _replicas(worker: subprocess.Popen[bytes], deployment: str) -> list[psutil.Process]:
    found = []
    for process in tree(worker.pid):
        with contextlib.suppress(psutil.Error):
            if f"ServeReplica:personality:{deployment}" in " ".join(process.cmdline()):
                found.append(process)
    return found
