"""Resampling customers, against doing it customer by customer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.evaluation.bootstrap import draws, interval, mean_of, ratio


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_a_weighted_mean_is_that_of_the_customers_drawn(customers: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values, weights = random.random(customers), random.integers(0, 5, customers).astype(float)
    drawn = draws(customers, 200, seed)
    assert (drawn.sum(axis=1) == customers).all()
    found = mean_of(values, weights, drawn)
    if weights.sum() == 0:
        assert found is None
        return
    means = []
    for row in drawn:
        chosen = np.repeat(np.arange(customers), row)
        if weights[chosen].sum():
            means.append(np.average(values[chosen], weights=weights[chosen]))
    assert found is not None
    assert found.value == pytest.approx(np.average(values, weights=weights))
    assert found.interval == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_resamples_without_the_figure_are_left_out() -> None:
    assert interval(np.array([np.nan, 0.25, np.nan, 0.25])) == (0.25, 0.25)
    assert interval(np.array([np.nan])) is None
    assert interval(np.zeros(0)) is None
    assert np.isnan(ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))).tolist() == [False, True]
