"""Estimates of another policy's reward, against worlds whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.evaluation.off_policy import Decision, compare_policies, judge_policy

ACTIONS = ("a", "b", "c")


def policy(weights: list[float]) -> dict[str, float]:
    total = sum(weights)
    return {name: weight / total for name, weight in zip(ACTIONS, weights, strict=True)}


policies = st.lists(st.floats(0.05, 1), min_size=3, max_size=3).map(policy)
rewards = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(
    lambda found: dict(zip(ACTIONS, found, strict=True))
)


def value(target: Mapping[str, float], truth: Mapping[str, float]) -> float:
    return sum(target[action] * truth[action] for action in ACTIONS)


@settings(max_examples=50)
@given(logging=policies, target=policies, truth=rewards, model=rewards)
def test_expected_over_all_choices_both_estimates_are_the_truth(
    logging: dict[str, float],
    target: dict[str, float],
    truth: dict[str, float],
    model: dict[str, float],
) -> None:
    """Unbiased by enumeration: each action once, weighted by its chance of being logged."""
    ips = robust = 0.0
    for action in ACTIONS:
        one = Decision("u", action, truth[action], logging, target, model)
        found = judge_policy([one], resamples=10)
        ips += logging[action] * found.ips.value
        robust += logging[action] * found.doubly_robust.value
    assert math.isclose(ips, value(target, truth), abs_tol=1e-9)
    assert math.isclose(robust, value(target, truth), abs_tol=1e-9)


def sampled(count: int, seed: int, model: Mapping[str, float]) -> list[Decision]:
    draw = np.random.default_rng(seed)
    logging = policy([8, 1, 1])
    truth = {"a": 0.3, "b": 0.6, "c": 0.1}
    found = []
    for number in range(count):
        action = str(draw.choice(ACTIONS, p=list(logging.values())))
        reward = float(draw.random() < truth[action])
        target = policy([1, 8, 1])
        found.append(Decision(f"u{number % 60}", action, reward, logging, target, model))
    return found


def width(bounds: tuple[float, float] | None) -> float:
    assert bounds is not None
    return bounds[1] - bounds[0]


def test_intervals_hold_the_truth_whatever_the_model_of_rewards() -> None:
    right, wrong = {"a": 0.3, "b": 0.6, "c": 0.1}, {"a": 0.9, "b": 0.1, "c": 0.5}
    truth = value(policy([1, 8, 1]), right)
    held = dict.fromkeys(("ips", "self_normalised", "doubly_robust", "wrong"), 0)
    narrower = 0
    for seed in range(40):
        found = judge_policy(sampled(600, seed, right), resamples=300)
        misled = judge_policy(sampled(600, seed, wrong), resamples=300)
        assert found.gain.value == pytest.approx(found.doubly_robust.value - found.logged.value)
        assert found.effective < 600 / 3
        named = {name: getattr(found, name) for name in list(held)[:3]}
        for name, estimate in (named | {"wrong": misled.doubly_robust}).items():
            assert estimate.interval is not None
            held[name] += estimate.interval[0] <= truth <= estimate.interval[1]
        narrower += width(found.doubly_robust.interval) < width(found.ips.interval)
    # Of 40 intervals that hold the truth 95 times in 100, fewer than 33 hold it once in 10,000.
    assert min(held.values()) >= 33
    assert narrower >= 36


def test_the_same_policy_earns_what_was_logged() -> None:
    logging = policy([1, 2, 3])
    rows = [
        Decision(f"u{n}", ACTIONS[n % 3], n % 2, logging, logging, dict.fromkeys(ACTIONS, 0.5))
        for n in range(30)
    ]
    found = judge_policy(rows)
    assert found.ips.value == pytest.approx(found.logged.value)
    assert found.effective == pytest.approx(30)
    assert found.coverage == pytest.approx(1)


def test_what_was_never_tried_is_told_and_large_weights_are_cut() -> None:
    logging, target = {"a": 0.99, "b": 0.01}, {"a": 0.1, "b": 0.5, "c": 0.4}
    model = dict.fromkeys(ACTIONS, 0.0)
    rows = [Decision("u", "b", 1.0, logging, target, model)]
    assert judge_policy(rows).coverage == pytest.approx(0.6)
    cut = judge_policy(rows, clip=20)
    assert (cut.ips.value, cut.clipped) == (20, 1)
    assert judge_policy(rows).ips.value == pytest.approx(50)


def test_a_choice_that_could_not_be_made_is_refused() -> None:
    row = Decision("u", "b", 1.0, {"a": 1.0}, {"a": 1.0}, {"a": 0.0, "b": 0.0})
    with pytest.raises(ValueError, match=r"'b' was chosen with propensity 0"):
        judge_policy([row])
    with pytest.raises(ValueError, match="no decision"):
        judge_policy([])


def test_two_policies_are_compared_on_the_same_decisions() -> None:
    model = dict.fromkeys(ACTIONS, 0.4)
    second = sampled(600, 3, model)
    # The first one does what was logged.
    first = [replace(one, target=one.logging) for one in second]
    gain = compare_policies(first, second, resamples=300)
    alone = [judge_policy(rows, resamples=300).doubly_robust for rows in (first, second)]
    assert gain.value == pytest.approx(alone[1].value - alone[0].value)
    assert gain.interval is not None
    # b, which the second takes, is right 0.6 of the time.
    assert gain.interval[0] > 0
    assert compare_policies(second, second).interval == (0, 0)
    with pytest.raises(ValueError, match="the same decisions"):
        compare_policies(first, second[:-1])
