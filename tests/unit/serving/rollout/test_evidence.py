"""Evidence that may be looked at after every request."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from persona_ray.serving.rollout.evidence import log_e_above, log_e_below

LIMITS = st.floats(0.02, 0.98)


@given(st.integers(1, 30), st.data(), LIMITS)
def test_it_is_the_mean_wealth_of_bets_on_every_rate_above_the_limit(
    seen: int, data: st.DataObject, limit: float
) -> None:
    total = data.draw(st.floats(0, seen))

    def wealth(rate: float) -> float:
        return float(
            (rate / limit) ** total * ((1 - rate) / (1 - limit)) ** (seen - total) / (1 - limit)
        )

    expected, error = quad(wealth, limit, 1, epsabs=0, limit=200)
    assert math.exp(log_e_above(seen, total, limit)) == pytest.approx(
        expected, rel=1e-6, abs=10 * error
    )


@given(st.lists(st.floats(0, 1), max_size=20), LIMITS, LIMITS)
def test_no_next_observation_gains_on_average_where_the_mean_is_at_most_the_limit(
    before: list[float], limit: float, share: float
) -> None:
    """The next observation is `high` with the chance that makes its mean the limit, else 0."""
    seen, total = len(before), min(math.fsum(before), len(before))
    high = limit + (1 - limit) * share
    chance = limit / high
    now = math.exp(log_e_above(seen, total, limit))
    after = chance * math.exp(log_e_above(seen + 1, total + high, limit)) + (1 - chance) * math.exp(
        log_e_above(seen + 1, total, limit)
    )
    assert after <= now * (1 + 1e-9)


@given(st.integers(0, 200), st.data(), LIMITS)
def test_below_a_limit_is_above_it_seen_from_the_other_side(
    seen: int, data: st.DataObject, limit: float
) -> None:
    total = data.draw(st.integers(0, seen))
    assert log_e_below(seen, total, limit) == log_e_above(seen, seen - total, 1 - limit)
    if total < seen:
        less, more = (log_e_above(seen, total + one, limit) for one in (0, 1))
        # Far below the limit both are nothing, as floats go.
        assert more > less or more == less == -math.inf


def test_the_ends_of_the_range() -> None:
    assert log_e_above(0, 0, 0.5) == 0
    assert log_e_above(10, 10, 1.0) == 0
    assert log_e_above(10, 0, 0.0) == 0
    assert log_e_above(10, 0.5, 0.0) == math.inf
    assert log_e_above(1_000_000, 250_000, 0.3) == -math.inf
    assert log_e_above(1_000_000, 350_000, 0.3) > 5_000
    with pytest.raises(ValueError, match="3 observations"):
        log_e_above(3, 4, 0.5)


@pytest.mark.parametrize("limit", [0.1, 0.3, 0.5])
def test_looking_after_every_observation_refuses_the_truth_no_more_often_than_promised(
    limit: float,
) -> None:
    """2000 runs of 1000 looks at the limit itself, where a fixed test errs most."""
    significance, runs, looks = 0.05, 2000, 1000
    chance = np.random.default_rng(0)
    # Shares, of which all means are the limit: yes and no, and thirds of a request's clips.
    sums = np.cumsum(chance.binomial(3, limit, (runs, looks)) / 3, axis=1)
    sums[::2] = np.cumsum(chance.random((runs, looks)) < limit, axis=1)[::2]
    needed = math.log(1 / significance)
    smallest = [
        next(
            (s / 3 for s in range(3 * n + 1) if log_e_above(n, s / 3, limit) >= needed),
            math.inf,
        )
        for n in range(1, 60)
    ]
    # Beyond the first looks every tenth, which keeps the test short and gives nothing away.
    refused = np.asarray((sums[:, :59] >= np.array(smallest) - 1e-9).any(axis=1))
    for n in range(60, looks + 1, 10):
        for run in np.flatnonzero(~refused & (sums[:, n - 1] > n * limit * 1.05)):
            refused[run] = log_e_above(n, float(sums[run, n - 1]), limit) >= needed
    assert 0 < refused.mean() <= significance
