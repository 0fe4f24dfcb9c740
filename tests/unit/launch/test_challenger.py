"""What a training and its evaluation leave in the registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persona_ray.apps.models_desk import RegistryDesk
from persona_ray.config import RunConfig
from persona_ray.errors import TrackingError
from persona_ray.launch.finetune import finetune
from persona_ray.launch.labelled import open_labelled
from persona_ray.launch.tracking.place import open_store
from persona_ray.launch.tracking.runs import mlflow_client
from persona_ray.launch.versions.kept import keep_evaluation
from persona_ray.launch.versions.registry import Registry, resolve_bundle
from persona_ray.models.lineage import Lineage
from persona_ray.models.manifest import digest
from persona_ray.progress import SilentProgress
from persona_ray.types import Modality, Split
from tests.unit.evaluation.made_up import full_report
from tests.unit.launch.registered import customers, workspace
from tests.unit.training.toys import model_config

QUIET = SilentProgress()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """One corpus and one MLflow store for all tests."""
    return workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def config(shared: RunConfig, request: pytest.FixtureRequest) -> RunConfig:
    """A registered model for each."""
    tracking = shared.tracking.model_copy(update={"model": request.node.originalname})
    return shared.model_copy(update={"tracking": tracking})


@pytest.fixture
def learning(config: RunConfig, tmp_path: Path) -> RunConfig:
    """The same corpus, labels and registry, and a bundle of its own to be."""
    (tmp_path / "corpus").symlink_to(config.corpus_dir.absolute())
    tree = config.model_dump(mode="json")
    tree["store"]["url"] = config.store_url
    tree["tracking"]["url"] = f"sqlite:///{config.workspace / 'mlflow.db'}"
    tree["model"] = model_config(Modality.TEXT).model_dump(mode="json")
    tree["training"] |= {"epochs": 2, "frozen_epochs": 1, "learning_rate": 0.01}
    return RunConfig.model_validate(tree | {"workspace": str(tmp_path)})


def test_finetune_leaves_a_challenger_with_its_run(learning: RunConfig) -> None:
    data = open_labelled(learning)
    result = finetune(learning, QUIET)
    assert result.registered == f"models:/{learning.tracking.model}/1 (challenger)"
    assert result.registered in str(result)
    version = Registry.open(learning).find("challenger")
    assert digest(resolve_bundle(learning, version.uri)) == digest(learning.bundle_dir)
    client = mlflow_client(open_store(learning))
    kept = client.get_run(version.run_id)
    assert kept.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(version.run_id, "loss")] == [1, 2]
    assert kept.data.params["training.frozen_epochs"] == "1"
    tags = kept.data.tags
    assert tags["persona_ray.data"] == data.dataset.fingerprint
    assert tags["persona_ray.labels"] == data.labels_fingerprint
    held_out = set(customers(data, Split.TEST))
    assert (
        set(Lineage.read(learning.bundle_dir).customers())
        == {example.customer_id for example in data.examples} - held_out
    )
    plots = client.list_artifacts(version.run_id, "plots")
    assert [plot.path for plot in plots] == ["plots/training.svg"]
    # What evaluation finds stands beside the curves, without a word of what customers said.
    report = full_report()
    keep_evaluation(learning, report, "# Model card: of this bundle")
    kept = client.get_run(version.run_id)
    assert report.held_out is not None
    assert kept.data.metrics["test_clip_accuracy"] == report.held_out.clips.accuracy.value
    assert kept.data.metrics["test_customer_macro_f1"] == report.held_out.customers.macro_f1.value
    (seen,) = RegistryDesk(learning).registry().versions
    assert seen.evaluated["test_clip_accuracy"] == report.held_out.clips.accuracy.value
    names = {plot.path for plot in client.list_artifacts(version.run_id, "plots")}
    assert {"plots/modalities.svg", "plots/leakage.svg", "plots/layers.svg"} <= names
    assert {"plots/calibration-bundle.svg", "plots/evidence-folds.svg"} <= names
    place = Path(client.download_artifacts(version.run_id, ""))
    assert (place / "MODEL_CARD.md").read_text() == "# Model card: of this bundle"
    texts = "".join(path.read_text("utf-8", "ignore") for path in place.rglob("*.svg"))
    assert not [s for call in report.calls for s in call.sentences if s.text in texts]
    # Another label is other data, though no clip has changed.
    first, *rest = data.examples
    other = replace(data, examples=(replace(first, label="green"), *rest))
    assert other.labels_fingerprint != data.labels_fingerprint


def test_a_registry_that_fails_costs_a_training_nothing(
    learning: RunConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise TrackingError("the registry in http://mlflow fails: disk full")

    monkeypatch.setattr(Registry, "register", broken)
    result = finetune(learning, QUIET)
    assert result.registered == ""
    assert (learning.bundle_dir / "bundle.json").is_file()
    (told,) = [r.getMessage() for r in caplog.records if "disk full" in r.getMessage()]
    assert "`persona-ray models register` does it later" in told
    monkeypatch.undo()
    unasked = {"challenger": False}
    without = learning.tracking.model_copy(update=unasked)
    finetune(learning.model_copy(update={"tracking": without}), QUIET, fresh=True)
    assert Registry.open(learning).versions() == []
