"""Temperature scaling against its definition, and against what cannot be fitted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from persona_ray.objectives.temperature import (
    HIGHEST,
    LEAST_ANSWERS,
    LOWEST,
    fit_temperature,
    tempered,
)

Answers = tuple[NDArray[np.float64], NDArray[np.int64]]


def answers(seed: int, count: int, truth: float, labels: int = 4) -> Answers:
    """Logits whose targets are drawn from softmax(logits / truth): `truth` is their T."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (count, labels))
    chances = np.exp(log_softmax(logits / truth, axis=1))
    targets = np.array([random.choice(labels, p=row) for row in chances])
    return logits, targets


def loss(logits: NDArray[np.float64], targets: NDArray[np.int64], temperature: float) -> float:
    rows = log_softmax(logits / temperature, axis=1)
    return float(-rows[np.arange(len(targets)), targets].mean())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(LEAST_ANSWERS, 300), st.floats(0.4, 5))
@example(4096, 50, 0.4375)
def test_no_other_temperature_has_less_cross_entropy(seed: int, count: int, truth: float) -> None:
    logits, targets = answers(seed, count, truth)
    found = fit_temperature(logits, targets)
    reference = minimize_scalar(
        lambda log_t: loss(logits, targets, float(np.exp(log_t))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-9},
    )
    best = float(np.exp(reference.x))
    if found.reason:
        # Few answers of a low T may all be right: the best lies beyond what is looked at.
        assert best == pytest.approx(LOWEST, rel=1e-3) or best == pytest.approx(HIGHEST, rel=1e-3)
        return
    assert found.value == pytest.approx(best, rel=1e-3)
    assert found.after <= reference.fun + 1e-12
    assert found.before == pytest.approx(loss(logits, targets, 1.0))
    assert found.after == pytest.approx(loss(logits, targets, found.value))


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_answers_is_found(truth: float) -> None:
    logits, targets = answers(0, 20_000, truth)
    assert fit_temperature(logits, targets).value == pytest.approx(truth, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 4))
def test_log_probabilities_do_as_well_as_logits(seed: int, truth: float) -> None:
    logits, targets = answers(seed, 120, truth)
    of_logits = fit_temperature(logits, targets)
    of_probabilities = fit_temperature(log_softmax(logits, axis=1), targets)
    assert of_probabilities.value == pytest.approx(of_logits.value, rel=1e-6)


def test_weights_count_as_copies_do() -> None:
    logits, targets = answers(1, 80, 2.0)
    copies = np.random.default_rng(2).integers(1, 4, 80)
    weighted = fit_temperature(logits, targets, weights=copies.astype(float))
    repeated = fit_temperature(np.repeat(logits, copies, axis=0), np.repeat(targets, copies))
    assert weighted.value == pytest.approx(repeated.value, rel=1e-9)
    assert weighted.after == pytest.approx(repeated.after)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 20))
def test_tempering_keeps_the_order_and_can_be_undone(seed: int, temperature: float) -> None:
    rows = log_softmax(np.random.default_rng(seed).normal(0, 3, (20, 4)), axis=1)
    changed = tempered(rows, temperature)
    assert np.exp(changed).sum(axis=1) == pytest.approx(np.ones(20))
    assert (changed.argsort(axis=1) == rows.argsort(axis=1)).all()
    assert tempered(changed, 1 / temperature) == pytest.approx(rows)


def test_too_little_to_go_by_leaves_the_probabilities_alone() -> None:
    logits, targets = answers(3, LEAST_ANSWERS - 1, 2.0)
    few = fit_temperature(logits, targets)
    assert (few.value, few.before) == (1.0, few.after)
    assert few.reason == f"{LEAST_ANSWERS - 1} clips, at least {LEAST_ANSWERS} are needed"
    assert "not fitted: 49 clips" in str(few)
    assert fit_temperature(logits, targets, least=10).value != 1.0
    none = fit_temperature(np.zeros((0, 4)), np.zeros(0, dtype=np.int64))
    assert (none.value, none.reason[:7]) == (1.0, "0 clips")


def test_a_split_of_one_label_fits_nothing() -> None:
    logits, _ = answers(4, 60, 1.0)
    found = fit_temperature(logits, np.zeros(60, dtype=np.int64))
    assert found.value == 1.0
    assert "one label" in found.reason


def test_answers_that_are_all_right_or_worthless_set_no_temperature() -> None:
    logits, _ = answers(5, 60, 1.0)
    right = fit_temperature(logits * 20, logits.argmax(axis=1))
    assert right.value == 1.0
    assert "right too surely" in right.reason
    contrary = fit_temperature(logits, logits.argmin(axis=1))
    assert contrary.value == 1.0
    assert "nothing about the labels" in contrary.reason
    flat = fit_temperature(np.zeros((60, 4)), np.arange(60) % 4)
    assert flat.value == 1.0
    assert flat.after == pytest.approx(np.log(4))


def test_a_probability_of_zero_is_survived_and_no_number_is_refused() -> None:
    logits, targets = answers(6, 60, 1.0)
    logits[0, (targets[0] + 1) % 4] = -np.inf
    logits[1, targets[1]] = -np.inf
    found = fit_temperature(logits, targets)
    assert np.isfinite([found.value, found.before, found.after]).all()
    assert np.isfinite(tempered(logits, 2.0)).all()
    logits[2, 0] = np.nan
    with pytest.raises(ValueError, match="no numbers"):
        fit_temperature(logits, targets)
    with pytest.raises(ValueError, match="do not fit"):
        fit_temperature(logits[:5], targets)
