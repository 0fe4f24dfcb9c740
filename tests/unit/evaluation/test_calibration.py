"""Calibration against its definition, and what temperature scaling does to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from persona_ray.evaluation.bootstrap import draws
from persona_ray.evaluation.calibration import (
    BINS,
    cross_fitted,
    log_probabilities,
    measure_calibration,
    reliability,
    temperature_of,
    with_temperature,
)
from persona_ray.evaluation.scores import Prediction

LABELS = ("red", "blue", "yellow", "green")


def honest(seed: int, customers: int = 20, clips: int = 30) -> list[Prediction]:
    """Answers that mean what they say: the label is drawn from the probabilities."""
    random = np.random.default_rng(seed)
    rows = []
    for c in range(customers):
        for k in range(clips):
            chances = random.dirichlet(np.full(4, 0.7))
            label = LABELS[random.choice(4, p=chances)]
            named = dict(zip(LABELS, chances.tolist(), strict=True))
            rows.append(Prediction(f"{c}-{k}", f"c{c}", label, named))
    return rows


def expected_calibration_error(rows: Sequence[Prediction]) -> float:
    """Word by word after Guo et al. 2017, equations 1 to 3."""
    error = 0.0
    for m in range(1, BINS + 1):
        inside = [
            (max(row.probabilities.values()), row)
            for row in rows
            if (m - 1) / BINS < max(row.probabilities.values()) <= m / BINS
        ]
        if inside:
            right = [row.probabilities[row.label] == sure for sure, row in inside]
            gap = sum(right) / len(inside) - sum(sure for sure, _ in inside) / len(inside)
            error += len(inside) / len(rows) * abs(gap)
    return error


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 20), st.floats(0.3, 3))
def test_figures_follow_their_definitions(
    seed: int, customers: int, clips: int, temperature: float
) -> None:
    rows = with_temperature(honest(seed, customers, clips), LABELS, temperature)
    found = measure_calibration("all", rows, rows, LABELS, [1.0], resamples=0).before
    assert found.ece.value == pytest.approx(expected_calibration_error(rows))
    chances = [[row.probabilities[name] for name in LABELS] for row in rows]
    truth = [LABELS.index(row.label) for row in rows]
    reference = log_loss(truth, chances, labels=range(4))
    assert found.cross_entropy.value == pytest.approx(reference)
    assert sum(part.count for part in found.bins) == len(rows)
    right = [int(np.argmax(row)) == label for row, label in zip(chances, truth, strict=True)]
    # scikit-learn's bins are closed below; no confidence here lies on a border.
    accuracy, confidence = calibration_curve(right, [max(row) for row in chances], n_bins=BINS)
    assert [part.accuracy.value for part in found.bins] == pytest.approx(accuracy.tolist())
    assert [part.confidence for part in found.bins] == pytest.approx(confidence.tolist())


def test_a_confidence_on_a_border_belongs_to_the_bin_below_it() -> None:
    rows = np.log(np.array([[0.6, 0.4], [1.0 - 1e-16, 1e-16], [0.5, 0.5]]))
    found = reliability(rows, np.zeros(3, np.int64), np.zeros(3, np.int64), draws(1, 0), bins=5)
    assert [(part.low, part.high, part.count) for part in found.bins] == [
        (0.4, 0.6, 2),
        (0.8, 1.0, 1),
    ]


def test_boasting_is_found_and_mended() -> None:
    truth = honest(1)
    boasting = with_temperature(truth, LABELS, 0.4)
    fitted = temperature_of(with_temperature(honest(2), LABELS, 0.4), LABELS)
    assert fitted.value == pytest.approx(1 / 0.4, rel=0.1)
    mended = with_temperature(boasting, LABELS, fitted.value)
    found = measure_calibration("all", boasting, mended, LABELS, [fitted.value])
    assert found.before.ece.value > 0.15 > 0.06 > found.after.ece.value
    assert found.gain.value == pytest.approx(
        found.before.cross_entropy.value - found.after.cross_entropy.value
    )
    assert found.gain.interval is not None
    assert found.gain.interval[0] > 0
    # The answers stay the same.
    old, new = (log_probabilities(rows, LABELS).argmax(axis=1) for rows in (boasting, mended))
    assert (old == new).all()
    assert found.before.confidence > found.after.confidence


def test_an_honest_model_loses_nothing_by_it() -> None:
    rows = honest(3, customers=60)
    after, temperatures = cross_fitted(rows, LABELS, {f"c{c}": c % 4 for c in range(60)})
    assert [t.value for t in temperatures] == pytest.approx([1.0] * 4, abs=0.15)
    found = measure_calibration("all", rows, after, LABELS, [t.value for t in temperatures])
    assert abs(found.gain.value) < 0.005


def test_intervals_hold_the_figure_and_the_same_seed_gives_the_same() -> None:
    rows = honest(4)
    first, again = (measure_calibration("all", rows, rows, LABELS, [1.0], seed=2) for _ in "ab")
    assert first == again
    low, high = first.before.cross_entropy.interval or (9.0, 9.0)
    assert low < first.before.cross_entropy.value < high
    assert first.gain.interval == (0.0, 0.0)


def test_no_customers_own_labels_choose_its_temperature() -> None:
    """Turning the labels of one fold changes the others' temperatures, not its own."""
    rows = with_temperature(honest(5), LABELS, 0.5)
    fold_of = {f"c{c}": c % 4 for c in range(20)}
    turned = [
        Prediction(
            row.clip_id,
            row.customer_id,
            min(row.probabilities, key=lambda name: row.probabilities[name]),
            row.probabilities,
        )
        if fold_of[row.customer_id] == 2
        else row
        for row in rows
    ]
    (after, plain), (_, changed) = (cross_fitted(r, LABELS, fold_of) for r in (rows, turned))
    assert [a == b for a, b in zip(plain, changed, strict=True)] == [False, False, True, False]
    assert [row.clip_id for row in after] == [row.clip_id for row in rows]


def test_clips_without_a_label_are_left_out_and_none_at_all_is_refused() -> None:
    rows = honest(6, customers=4)
    blank = [Prediction(f"x{i}", "c0", "", rows[0].probabilities) for i in range(5)]
    kept = measure_calibration("all", rows, rows, LABELS, [1.0], resamples=0)
    mixed = [*blank, *rows]
    assert measure_calibration("all", mixed, mixed, LABELS, [1.0], resamples=0) == kept
    with pytest.raises(ValueError, match="no labelled clip"):
        measure_calibration("all", blank, blank, LABELS, [1.0])
    assert temperature_of(blank, LABELS).reason.startswith("0 clips")
