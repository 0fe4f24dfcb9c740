"""Resampling customers, against doing it customer by customer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.evaluation.bootstrap import draws, interval, mean, ratio, share


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_a_share_is_that_of_the_customers_drawn(customers: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    wholes = random.integers(0, 5, customers).astype(float)
    parts = wholes * random.random(customers)
    drawn = draws(customers, 200, seed)
    assert (drawn.sum(axis=1) == customers).all()
    found = share(parts, wholes, drawn)
    if wholes.sum() == 0:
        assert found is None
        return
    shares = []
    for row in drawn:
        chosen = np.repeat(np.arange(customers), row)
        if wholes[chosen].sum():
            shares.append(parts[chosen].sum() / wholes[chosen].sum())
    assert found is not None
    assert found.value == pytest.approx(parts.sum() / wholes.sum())
    assert found.interval == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_a_mean_is_a_share_of_wholes_of_one(customers: int, seed: int) -> None:
    values, drawn = np.random.default_rng(seed).random(customers), draws(customers, 50, seed)
    found, same = mean(values, drawn), share(values, np.ones(customers), drawn)
    assert same is not None
    assert found.value == pytest.approx(same.value)
    assert found.interval == pytest.approx(same.interval)
    assert mean(values, draws(customers, 0)).interval is None


def test_resamples_without_the_figure_are_left_out() -> None:
    assert interval(np.array([np.nan, 0.25, np.nan, 0.25])) == (0.25, 0.25)
    assert interval(np.array([np.nan])) is None
    assert interval(np.zeros(0)) is None
    assert np.isnan(ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))).tolist() == [False, True]
