"""Whose evaluation it is that drift is told against."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.evaluation.report.card import CARD
from persona_ray.launch.evaluated import (
    last_evaluation,
    reference_colours,
    reference_confidence,
    references,
    trained_reference,
)
from persona_ray.models import manifest
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.watch.catalogue import COLOUR_DRIFT, CONFIDENCE_DRIFT, LEVEL_DRIFT
from tests.unit.models.test_bimodal import small_model
from tests.unit.watch.test_drift import TRAINED

BINS = [{"low": 6 / 15, "high": 7 / 15, "count": 1}, {"low": 14 / 15, "high": 1.0, "count": 3}]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"workspace={tmp_path}"])


def trained(config: RunConfig, seed: int = 0) -> str:
    model = small_model(seed=seed)
    save_bundle(model, config.bundle_dir, contract_of(model, "", {}, {}))
    return manifest.digest(config.bundle_dir)


def test_shares_are_read_from_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert reference_confidence(report) == ()
    for unfit in ("{", "[]", '{"calibration": []}'):
        report.write_text(unfit)
        assert reference_confidence(report) == ()
    report.write_text(json.dumps({"calibration": [{"after": {"bins": BINS}}]}))
    shares = reference_confidence(report)
    assert {number: share for number, share in enumerate(shares) if share} == {6: 0.25, 14: 0.75}


def test_an_evaluation_is_of_the_bundle_that_its_card_lies_with(config: RunConfig) -> None:
    report = config.workspace / "report.json"
    report.write_text(json.dumps({"calibration": [{"after": {"bins": BINS}}]}))
    assert last_evaluation(config) is None
    digest = trained(config)
    assert last_evaluation(config) is None
    (config.bundle_dir / CARD).write_text(f"Bundle `{digest}`")
    found = last_evaluation(config)
    assert found is not None
    assert (found.digest, found.shares[14]) == (digest, 0.75)
    # Trained anew and not evaluated yet: the report is still the former one's.
    assert trained(config, seed=1) != digest
    assert last_evaluation(config) is None


def test_colours_are_those_that_the_held_out_sentences_got(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert reference_colours(report) == {}
    calls = [
        {"sentences": [{"probabilities": {"red": 0.7, "blue": 0.3}}]},
        {"sentences": []},
        {"sentences": [{"probabilities": {"red": 0.2, "blue": 0.8}}] * 3},
    ]
    report.write_text(json.dumps({"labels": ["red", "blue", "green"], "calls": calls}))
    assert reference_colours(report) == {"red": 0.25, "blue": 0.75, "green": 0.0}


def test_what_a_bundle_was_trained_on_is_found_by_its_digest(config: RunConfig) -> None:
    model = small_model(seed=0)
    save_bundle(model, config.bundle_dir, contract_of(model, "", {}, {}), reference=TRAINED)
    digest = manifest.digest(config.bundle_dir)
    manifest.verify(config.bundle_dir)
    assert trained_reference(config, digest) == TRAINED
    # A service keeps copies by digest, and goes on with one when the workspace has a newer bundle.
    kept = config.bundle_cache_dir / digest
    kept.parent.mkdir(parents=True)
    config.bundle_dir.rename(kept)
    newer = trained(config, seed=1)
    assert trained_reference(config, digest) == TRAINED
    # Older bundles have none.
    assert trained_reference(config, newer) is None
    assert trained_reference(config, "unknown") is None


def test_the_evaluation_goes_before_the_training(config: RunConfig) -> None:
    model = small_model(seed=0)
    save_bundle(model, config.bundle_dir, contract_of(model, "", {}, {}), reference=TRAINED)
    digest = manifest.digest(config.bundle_dir)
    found = references(config, config.bundle_dir, digest)
    assert found.outcomes == TRAINED.outcomes
    assert found.kinds[COLOUR_DRIFT].against == "training"
    assert CONFIDENCE_DRIFT not in found.kinds
    calls = [{"sentences": [{"probabilities": {"red": 0.7, "blue": 0.3}}]}]
    report = {"labels": ["red", "blue"], "calls": calls, "calibration": [{"after": {"bins": BINS}}]}
    (config.workspace / "report.json").write_text(json.dumps(report))
    (config.bundle_dir / CARD).write_text(f"Bundle `{digest}`")
    found = references(config, config.bundle_dir, digest)
    assert {found.kinds[kind].against for kind in (COLOUR_DRIFT, CONFIDENCE_DRIFT)} == {
        "evaluation"
    }
    assert found.kinds[LEVEL_DRIFT].against == "training"
