"""When to hang up: thresholds by hand, and costs on simulated callers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmarks.early_costs import FIXED, costs, early, fixed, simulate
from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.inference.screening.early import EarlyRule, boundaries, log_odds


def probability(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


@pytest.mark.parametrize(("wrong", "turn"), [(20.0, 1.0), (5.0, 2.0)])
def test_where_waiting_teaches_nothing_the_threshold_is_a_ratio(wrong: float, turn: float) -> None:
    bounds = boundaries(wrong, turn, 0.0, 6)
    for left, bound in enumerate(bounds):
        assert probability(bound) == pytest.approx(wrong / (wrong + turn * (left + 1)), abs=2e-4)


def test_one_turn_before_the_last_against_an_integral() -> None:
    """V_1 by brute force: p' integrated over the evidence of one turn."""
    wrong, turn, d = 20.0, 1.0, 1.3
    bound = boundaries(wrong, turn, d, 2)[1]
    moves = np.linspace(-12, 12, 20_001)
    density = np.exp(-((moves - d * d / 2) ** 2) / (2 * d * d)) / (d * math.sqrt(2 * math.pi))
    other = np.exp(-((moves + d * d / 2) ** 2) / (2 * d * d)) / (d * math.sqrt(2 * math.pi))

    def gain(odds: float) -> float:
        p = probability(odds)
        later = 1 / (1 + np.exp(-(odds + moves)))
        value = np.minimum(wrong * (1 - later), turn * later)
        expected = np.trapezoid(value * (p * density + (1 - p) * other), moves)
        return float(wrong * (1 - p) - turn * p - expected)

    assert gain(bound - 0.01) > 0 > gain(bound + 0.01)


def test_the_more_is_to_come_the_sooner_and_the_more_is_learned_the_later() -> None:
    sharp, dull = boundaries(20, 1, 2.0, 6), boundaries(20, 1, 0.5, 6)
    assert all(one >= other for one, other in itertools.pairwise(sharp))
    assert all(one >= other - 1e-3 for one, other in zip(sharp, dull, strict=True))
    rule = EarlyRule(PolicyConfig(), 6)
    thresholds = [rule.threshold(turns) for turns in range(1, 10)]
    assert thresholds == sorted(thresholds)
    # Beyond the last turn as at it.
    assert thresholds[5] == thresholds[8]


def test_hysteresis() -> None:
    rule = EarlyRule(PolicyConfig(hysteresis=0.5), 6)
    bound = log_odds(rule.threshold(2))
    near, below, above = (probability(bound + by) for by in (0.2, -0.7, 0.7))
    first = rule.step(near, 2, armed=False)
    assert (first.hang_up, first.armed) == (False, True)
    assert rule.step(near, 2, first.armed).hang_up
    assert rule.step(above, 2, armed=False).hang_up
    after = rule.step(below, 2, first.armed)
    assert (after.hang_up, after.armed) == (False, False)
    assert not rule.step(0.0, 1, armed=True).hang_up
    assert rule.step(1.0, 1, armed=False).hang_up


@pytest.mark.parametrize(("d", "jitter"), [(1.0, 0.0), (1.0, 0.5), (2.0, 0.5)])
def test_no_fixed_threshold_costs_less(d: float, jitter: float) -> None:
    """On the same calls; within twice the standard error of the difference."""
    policy = PolicyConfig(turn_evidence=d)
    calls = simulate(4000, d, jitter, seed=5)
    ours = costs(early(policy), calls, policy)
    for threshold in FIXED:
        theirs = costs(fixed(threshold), calls, policy)
        difference = ours.each - theirs.each
        error = difference.std() / math.sqrt(len(difference))
        assert difference.mean() <= 2 * error, threshold
    # And it is far better than the careless and the timid ones.
    assert ours.mean < 0.75 * costs(fixed(0.5), calls, policy).mean
    assert ours.mean < 0.95 * costs(fixed(0.999), calls, policy).mean
