"""Places of fitting scripts against the plain definition."""

from __future__ import annotations

import pytest

from persona_ray.evaluation.ranking import Ranked, compare_ranking, score_ranking


def ranked(customer: str, scripts: str, fits: str) -> Ranked:
    return Ranked(customer, tuple(scripts), frozenset(fits))


TURNS = [
    ranked("u1", "abcde", "a"),
    ranked("u1", "abcde", "ec"),
    ranked("u2", "abcde", "e"),
    ranked("u2", "", "a"),
    ranked("u3", "ab", "c"),
]


def test_shares_of_turns_by_the_place_of_the_first_that_fits() -> None:
    row = score_ranking("x", TURNS)
    assert [turn.place for turn in TURNS] == [1, 3, 5, 0, 0]
    assert row.first.value == pytest.approx(1 / 5)
    assert row.three.value == pytest.approx(2 / 5)
    assert row.reciprocal.value == pytest.approx((1 + 1 / 3 + 1 / 5) / 5)
    assert (row.turns, row.customers) == (5, 3)
    assert row.three.interval is not None
    assert row.three.interval[0] < row.three.value < row.three.interval[1]


def test_a_ranker_that_is_better_for_each_customer_is_better_beyond_noise() -> None:
    worse = [ranked(f"u{n}", "xyzab", "a") for n in range(12)]
    better = [ranked(f"u{n}", "axyzb", "a") for n in range(12)]
    paired = compare_ranking(worse, better)
    assert paired.deciding.difference.value == 1
    assert not paired.second_is_worse
    assert compare_ranking(better, worse).second_is_worse
    assert compare_ranking(worse, worse).deciding.difference.interval == (0, 0)


def test_rankers_are_compared_on_the_same_turns_only() -> None:
    with pytest.raises(ValueError, match="the same turns"):
        compare_ranking(TURNS, TURNS[:2])
    with pytest.raises(ValueError, match="no turn"):
        score_ranking("x", [])
