"""When a challenger is taken back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rollout_looks import (
    BAD,
    GOOD,
    Challenger,
    always_valid,
    fixed_size,
    taken_back_after,
)
from persona_ray.config.serving import RolloutConfig
from persona_ray.serving.rollout.verdict import (
    EVEN,
    Counts,
    Healthy,
    RollBack,
    Undecided,
    findings,
    judge,
)

CONFIG = RolloutConfig()
FINE = Counts(pairs=400, timed=400, slower=40, coloured=400, differing=40)


def test_nothing_is_decided_before_enough_requests() -> None:
    failing = Counts(pairs=49, challenger_failed=49)
    assert judge(failing, CONFIG) == Undecided()
    assert isinstance(judge(failing + Counts(pairs=1, challenger_failed=1), CONFIG), RollBack)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (
            {"challenger_failed": 20, "champion_failed": 1},
            "errors: it failed in 20 of 400 requests that the champion answered, the champion in 1",
        ),
        ({"slower": 300}, "latency: it took more than 1.5 times as long in 300 of 400 requests"),
        ({"differing": 200}, "colours: 50.0% of the colours of 400 requests differ, 30.0% are"),
    ],
)
def test_the_reason_names_the_question_and_its_figures(bad: dict[str, float], reason: str) -> None:
    verdict = judge(replace(FINE, **bad), CONFIG)
    assert isinstance(verdict, RollBack)
    assert verdict.reason.startswith(reason)
    assert "\n" not in verdict.reason


def test_a_challenger_is_healthy_when_its_limits_are_shown_to_be_kept() -> None:
    assert judge(FINE, CONFIG) == Healthy()
    assert judge(replace(FINE, differing=115), CONFIG) == Undecided()
    assert judge(replace(FINE, slower=190), CONFIG) == Undecided()


def test_failures_of_both_and_of_the_champion_do_not_count_against_it() -> None:
    both_fail = Counts(pairs=1000)
    assert judge(both_fail, CONFIG) == Undecided()
    assert judge(replace(FINE, champion_failed=100), CONFIG) == Healthy()


@given(st.floats(0, 1), st.integers(0, 500), st.data())
def test_figures_can_be_shown_whatever_was_seen(
    borne: float, pairs: int, data: st.DataObject
) -> None:
    coloured = data.draw(st.integers(0, pairs))
    counts = Counts(
        pairs=pairs,
        coloured=coloured,
        differing=data.draw(st.floats(0, coloured)),
        timed=pairs,
        slower=data.draw(st.integers(0, pairs)),
    )
    config = RolloutConfig(max_disagreement=borne)
    judge(counts, config)
    for finding in findings(counts, config):
        assert 0 <= finding.p_value <= 1
        assert np.isfinite(finding.e_value)


@given(st.dictionaries(st.sampled_from([*Counts().to_dict(), "of another release"]), st.floats(0)))
def test_counts_are_read_back(tree: dict[str, float]) -> None:
    counts = Counts.from_dict(tree)
    assert Counts.from_dict(counts.to_dict()) == counts
    assert bool(counts) == any(value for name, value in tree.items() if name in counts.to_dict())


REQUESTS = 5000
BOUNDARIES = (
    always_valid(EVEN, CONFIG.significance, REQUESTS),
    always_valid(CONFIG.max_disagreement, CONFIG.significance, REQUESTS),
)
FIXED = (
    fixed_size(EVEN, CONFIG.significance, REQUESTS),
    fixed_size(CONFIG.max_disagreement, CONFIG.significance, REQUESTS),
)


def test_the_simulation_judges_as_the_service_does() -> None:
    even, colours = BOUNDARIES
    for n in (50, 333, 1000):
        for slower, differing in ((int(even[n]), 0), (0, int(colours[n]))):
            at = Counts(pairs=n, timed=n, slower=slower, coloured=n, differing=differing)
            before = replace(at, slower=max(0, slower - 1), differing=max(0, differing - 1))
            assert isinstance(judge(at, CONFIG), RollBack)
            assert not isinstance(judge(before, CONFIG), RollBack)


@pytest.mark.parametrize("challenger", GOOD, ids=lambda challenger: challenger.name)
def test_a_challenger_within_its_limits_is_seldom_taken_back(challenger: Challenger) -> None:
    after = taken_back_after(challenger, BOUNDARIES, 1000, CONFIG.min_requests, seed=2)
    assert np.isfinite(after).mean() <= CONFIG.significance
    # What looking again and again would do without care.
    careless = taken_back_after(challenger, FIXED, 1000, CONFIG.min_requests, seed=2)
    assert np.isfinite(careless).mean() > CONFIG.significance


@pytest.mark.parametrize(
    ("challenger", "within"),
    zip(BAD, [50, 250, 1800, 50, 1000, 100, 900], strict=True),
    ids=lambda value: value.name if isinstance(value, Challenger) else str(value),
)
def test_a_bad_challenger_is_caught_in_time(challenger: Challenger, within: int) -> None:
    """19 of 20 within so many requests; docs/decisions/0022-rollout.md states them."""
    after = taken_back_after(challenger, BOUNDARIES, 400, CONFIG.min_requests, seed=3)
    assert np.quantile(after, 0.95, method="higher") <= within
