"""The registry on a real `mlflow server`: bundles travel, and damage on the way is noticed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config import RunConfig
from persona_ray.errors import BundleError
from persona_ray.launch.tracking.runs import tracked
from persona_ray.launch.versions.promotion import promote, register
from persona_ray.launch.versions.registry import Registry, resolve_bundle
from persona_ray.models.lineage import Lineage
from persona_ray.models.manifest import digest, verify
from persona_ray.progress import SilentProgress
from tests.unit.launch.registered import make_bundle, workspace

_START_S = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its address, and the folder it keeps files in."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "files")]
    with (folder / "log").open("wb") as log:
        # A group of its own, since its workers are processes too.
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}", folder / "files"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mlflow does not answer: {log.read_text()}") from None
            time.sleep(0.2)


def test_bundles_travel_by_the_server(server: tuple[str, Path], tmp_path: Path) -> None:
    url, files = server
    trained_at = _tracking(workspace(tmp_path / "training"), url)
    bundle = make_bundle(trained_at, "bundle")
    with tracked(trained_at, "fine-tuning", tmp_path / "run", {}, {}) as tracker:
        tracker.metrics(1, {"loss": 1.0})
    register(trained_at, bundle, tracker.run_id)
    promote(trained_at, "challenger", SilentProgress())

    elsewhere = _tracking(RunConfig(workspace=tmp_path / "serving"), url)
    registry = Registry.open(elsewhere)
    version = registry.find("champion")
    assert version.run_id == tracker.run_id
    heard = registry.lineage(version)
    assert set(heard) == set(Lineage.read(bundle))
    assert not list((tmp_path / "serving").rglob("*.safetensors")), "the weights stayed there"

    found = resolve_bundle(elsewhere, "models:/persona@champion")
    assert found.parent == tmp_path / "serving" / "bundles"
    verify(found)
    assert digest(found) == digest(bundle)
    assert [path.name for path in found.parent.iterdir()] == [found.name], "nothing is left behind"

    (head,) = files.rglob("head.safetensors")
    original = head.read_bytes()
    head.write_bytes(original[:-1])
    assert resolve_bundle(elsewhere, "models:/persona/1") == found, "kept, and still whole"
    (found / "head.safetensors").write_bytes(original[:-2])
    with pytest.raises(BundleError, match=r"models:/persona/1: .*head\.safetensors' was changed"):
        resolve_bundle(elsewhere, "models:/persona/1")
    head.write_bytes(original)
    assert digest(resolve_bundle(elsewhere, "models:/persona/1")) == digest(bundle)
    verify(found)


def _tracking(config: RunConfig, url: str) -> RunConfig:
    return config.model_copy(update={"tracking": config.tracking.model_copy(update={"url": url})})
