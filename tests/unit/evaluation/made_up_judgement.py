"""Made-up answers judged in every way, for the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from persona_ray.evaluation.assess import BUNDLE, FOLDS, assess_bundle, assess_folds
from persona_ray.evaluation.calibration import with_temperature
from persona_ray.evaluation.conditions import Condition, band
from persona_ray.evaluation.report.data import ReportData
from persona_ray.evaluation.scores import Prediction
from persona_ray.evaluation.slices import measure_slices
from tests.unit.evaluation.talkers import LABELS, said_by, talkers

SCENES = ("insurance", "credit card", "broadband", "<b>complaint</b>")


def judged(report: ReportData, resamples: int = 200) -> ReportData:
    """`report` with calibration, evidence, stopping and slices of two sets of answers: those of a
    bundle for eight customers and those of folds for eighty."""
    test, dev, rotated = (
        [
            replace(row, customer_id=f"{seed}-{row.customer_id}", clip_id=f"{seed}-{row.clip_id}")
            for row in with_temperature(
                said_by(talkers(seed, customers, 14, alike=0.4)), LABELS, 0.6
            )
        ]
        for seed, customers in ((1, 8), (2, 8), (3, 80))
    )
    labels = {row.customer_id: row.label for row in (*test, *dev)}
    fold_of = {name: at % 5 for at, name in enumerate(sorted({r.customer_id for r in rotated}))}
    both = (
        assess_bundle(test, dev, LABELS, labels, 1.7, "", resamples),
        assess_folds(rotated, LABELS, fold_of, resamples),
    )
    return report.model_copy(
        update={
            "calibration": tuple(part.calibration for part in both),
            "evidence": tuple(part.evidence for part in both),
            "stopping": tuple(part.stopping for part in both),
            "slices": (
                measure_slices(BUNDLE, test, conditions(test), resamples),
                measure_slices(FOLDS, rotated, conditions(rotated), resamples),
            ),
        }
    )


def conditions(rows: list[Prediction]) -> dict[str, tuple[Condition, ...]]:
    random = np.random.default_rng(0)
    return {
        row.clip_id: (
            Condition("scene", SCENES[int(random.integers(len(SCENES)))]),
            Condition("codec", "mp3" if random.random() < 0.01 else "ogg"),
            band("clip length", float(random.gamma(6, 0.7)), (3.0, 4.0, 6.0), "s"),
            band("speech over background", float(random.normal(50, 15)), (15.0, 25.0, 40.0), "dB"),
            Condition("call condition", "as recorded"),
        )
        for row in rows
    }
