"""What drift of a bundle is told against: its evaluation, and its training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.evaluation.report.card import CARD
from persona_ray.launch.evaluated import references, reported
from persona_ray.models import manifest
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.serving.metrics import Metrics
from persona_ray.serving.service import ServedModel
from persona_ray.types import Recognition
from persona_ray.watch.catalogue import COLOUR_DRIFT, CONFIDENCE_DRIFT, LEVEL_DRIFT
from persona_ray.watch.instruments import Instrument
from persona_ray.watch.reference import TrainingReference
from tests.unit.models.test_bimodal import small_model
from tests.unit.serving.test_metrics import values
from tests.unit.watch.test_drift import TRAINED

BINS = [{"low": 6 / 15, "high": 7 / 15, "count": 1}, {"low": 14 / 15, "high": 1.0, "count": 3}]
CALIBRATION = {"calibration": [{"after": {"bins": BINS}}]}
CALLS = [
    {"sentences": [{"probabilities": {"red": 0.7, "blue": 0.3}}]},
    {"sentences": []},
    {"sentences": [{"probabilities": {"red": 0.2, "blue": 0.8}}] * 3},
]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"workspace={tmp_path}"])


def trained(config: RunConfig, seed: int = 0, reference: TrainingReference | None = None) -> str:
    model = small_model(seed=seed)
    contract = contract_of(model, "", {}, {})
    save_bundle(model, config.bundle_dir, contract, reference=reference)
    return manifest.digest(config.bundle_dir)


def evaluated(config: RunConfig, digest: str, **report: Any) -> None:
    (config.workspace / "report.json").write_text(json.dumps(CALIBRATION | report))
    (config.bundle_dir / CARD).write_text(f"Bundle `{digest}`")


def against(config: RunConfig, digest: str) -> Mapping[Instrument, str]:
    return {kind: one.against for kind, one in references(config, digest).kinds.items()}


def test_shares_are_read_from_the_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert reported(path) == {}
    for unfit in ("{", "[]", '{"calibration": []}'):
        path.write_text(unfit)
        assert reported(path) == {}
    path.write_text(json.dumps(CALIBRATION))
    (confidence,) = reported(path).values()
    assert {n: share for n, share in enumerate(confidence.binned.shares) if share} == {
        6: 0.25,
        14: 0.75,
    }
    labels = ["red", "blue", "green"]
    path.write_text(json.dumps(CALIBRATION | {"labels": labels, "calls": CALLS}))
    colours = reported(path)[COLOUR_DRIFT].binned
    assert {label: colours.shares[colours.number(label)] for label in labels} == {
        "red": 0.25,
        "blue": 0.75,
        "green": 0.0,
    }


def test_an_evaluation_is_of_the_bundle_that_its_card_lies_with(config: RunConfig) -> None:
    digest = trained(config)
    assert against(config, digest) == {}
    evaluated(config, digest)
    assert against(config, digest) == {CONFIDENCE_DRIFT: "evaluation"}
    # Trained anew and not evaluated yet: the report is still the former one's.
    newer = trained(config, seed=1)
    assert newer != digest
    assert against(config, newer) == against(config, digest) == {}


def test_what_a_bundle_was_trained_on_is_found_by_its_digest(
    config: RunConfig, tmp_path: Path
) -> None:
    digest = trained(config, reference=TRAINED)
    manifest.verify(config.bundle_dir)
    assert references(config, digest).kinds == TRAINED.references()
    assert references(config, digest).outcomes == TRAINED.outcomes
    # A service keeps copies by digest, and goes on with one when the workspace has a newer bundle.
    kept = config.bundle_cache_dir / digest
    kept.parent.mkdir(parents=True)
    config.bundle_dir.rename(kept)
    newer = trained(config, seed=1)
    assert references(config, digest).kinds == TRAINED.references()
    # Older bundles have none.
    assert references(config, newer).kinds == references(config, "unknown").kinds == {}
    # A job may name a bundle that lies elsewhere.
    kept.rename(tmp_path / "elsewhere")
    assert references(config, digest).kinds == {}
    assert references(config, digest, tmp_path / "elsewhere").kinds == TRAINED.references()


def test_the_evaluation_goes_before_the_training(config: RunConfig) -> None:
    digest = trained(config, reference=TRAINED)
    assert against(config, digest)[COLOUR_DRIFT] == "training"
    assert CONFIDENCE_DRIFT not in against(config, digest)
    evaluated(config, digest, labels=["red", "blue"], calls=CALLS)
    found = against(config, digest)
    assert found[COLOUR_DRIFT] == found[CONFIDENCE_DRIFT] == "evaluation"
    assert found[LEVEL_DRIFT] == "training"


def test_a_service_finds_the_evaluation_of_a_bundle_that_it_was_given_later(
    config: RunConfig,
) -> None:
    evaluated(config, trained(config))
    metrics = Metrics(find=lambda digest: references(config, digest).kinds)
    newer = trained(config, seed=1, reference=TRAINED)
    evaluated(config, newer, labels=["red", "blue"], calls=CALLS[:1])
    model = ServedModel("persona", "4", ("red", "blue"), True, True, 16_000, newer)
    metrics.answers([Recognition({"red": 0.9, "blue": 0.1}, 1)] * 100, model)
    assert values(metrics, "persona_confidence_drift").keys() == {"evaluation"}
    told = values(metrics, "persona_colour_drift")
    assert told == {"evaluation": pytest.approx(0.0, abs=1e-9)}
