"""An MLflow server on PostgreSQL whose files lie in S3, served by it: clients need its address
alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.errors import BundleError, TrackingError
from persona_ray.launch.tracking.runs import tracked
from persona_ray.launch.versions.records import Alias
from persona_ray.launch.versions.registry import Registry, resolve_bundle
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.models.manifest import digest
from tests.services import S3, mlflow_server
from tests.unit.models.test_bimodal import small_model


@pytest.fixture
def config(
    tmp_path: Path, s3: S3, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunConfig]:
    with mlflow_server(postgres_url, f"{s3.uri}/mlflow", tmp_path / "mlflow.log") as url:
        # The server alone has the keys.
        for name in s3.environment:
            monkeypatch.delenv(name)
        yield load_config(None, [f"workspace={tmp_path / 'run'}", f"tracking.url={url}"])


@pytest.mark.drill
def test_runs_and_bundles_by_a_server(
    config: RunConfig, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "AWS_SECRET_ACCESS_KEY" not in os.environ
    with tracked(config, "fine-tuning", tmp_path / "run/training", {}, {}) as tracker:
        tracker.metrics(1, {"loss": 0.5})
        tracker.text("note.html", "<p>kept</p>")
    model = small_model(seed=0)
    folder = config.bundle_dir
    save_bundle(model, folder, contract_of(model, "", {}, {}))
    registry = Registry.open(config)
    version = registry.register(folder, tracker.run_id)
    registry.point(Alias.CHAMPION, version)
    assert registry.register(folder).number == version.number
    # A service elsewhere.
    other = config.model_copy(update={"workspace": tmp_path / "other"})
    fetched = resolve_bundle(other, "models:/persona@champion")
    assert fetched.is_relative_to(tmp_path / "other")
    assert digest(fetched) == digest(folder)
    assert resolve_bundle(other, "models:/persona@champion") == fetched
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    keys = s3.keys("mlflow/")
    assert any(key.endswith("note.html") for key in keys)
    weights = next(key for key in keys if key.endswith(".safetensors"))
    third = config.model_copy(update={"workspace": tmp_path / "third"})
    with s3.front.failing(status=403), pytest.raises(TrackingError) as told:
        resolve_bundle(third, "models:/persona@champion")
    assert "\n" not in str(told.value)
    s3.client().put_object(Bucket=s3.bucket, Key=weights, Body=b"other weights")
    with pytest.raises(BundleError):
        resolve_bundle(third, "models:/persona@champion")
    assert not list((tmp_path / "third").rglob("*.safetensors"))
