"""The registry on a real `mlflow server`: bundles travel, and damage on the way is noticed."""

from __future__ import annotations

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
from tests.services import mlflow_server
from tests.unit.launch.registered import make_bundle, workspace


def test_bundles_travel_by_the_server(tmp_path: Path) -> None:
    files = tmp_path / "files"
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with mlflow_server(database, str(files), tmp_path / "server.log") as url:
        _travel(url, files, tmp_path)


def _travel(url: str, files: Path, tmp_path: Path) -> None:
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
