"""Whose evaluation it is that drift is told against."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from persona_ray.apps.evaluated import last_evaluation, reference_confidence
from persona_ray.config import RunConfig, load_config
from persona_ray.evaluation.report.card import CARD
from persona_ray.models import manifest
from persona_ray.models.bundle import contract_of, save_bundle
from tests.unit.models.test_bimodal import small_model

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
