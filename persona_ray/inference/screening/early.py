"""When to hang up: what a wrong hang-up costs against what it costs to let a fraud go on.

After each turn of the caller there is p = P(illegal | what was said). Hanging up costs
C (1 - p): `policy.false_hang_up_cost` where the caller is not illegal. Going on costs c p for the
next turn (`policy.fraud_turn_cost` where he is), and then the same choice stands again with a p
that has moved, until the robot's goodbye, which is one turn more that a fraud is listened to. With
k turns to come after the next one the least expected cost is

    V_k(p) = min(C (1 - p), c p + E[V_{k-1}(p')]),    V_{-1} = 0,

computed from the end (backward induction: Bellman 1957; for truncated sequential tests Wald 1947,
chapter 7, and Chow, Robbins, Siegmund 1971, chapter 3). The choice depends on p alone because p is
a sufficient statistic when it is calibrated. How p moves: a turn adds its log-likelihood ratio x
to the log-odds, and x is taken as normal, N(+d^2/2, d^2) for fraud and N(-d^2/2, d^2) for the
others; the means are what keeps p calibrated (E[p'] = p). d is `policy.turn_evidence`. With d = 0
nothing is learned by waiting, and the threshold is C / (C + c (k + 1)); the more a turn tells, the
higher it is.

Judgements of a model jitter around the calibrated p. Hence hysteresis: a judgement that is h above
the threshold is enough by itself (in log-odds); one within h of it arms the rule, and a second one
in a row hangs up.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.config.screening_policy import PolicyConfig

# Log-odds beyond which nothing changes, the step between those that are computed, and the nodes of
# Gauss-Hermite quadrature: thresholds to three digits.
_WIDEST, _STEP, _NODES = 14.0, 0.02, 41


def log_odds(probability: float) -> float:
    """ln(p / (1 - p)), bounded."""
    if probability <= 0:
        return -_WIDEST
    if probability >= 1:
        return _WIDEST
    return min(_WIDEST, max(-_WIDEST, math.log(probability) - math.log1p(-probability)))


@dataclass(frozen=True, slots=True)
class Step:
    """After one judgement: hang up or not; `armed` for the next; what P(illegal) it takes."""

    hang_up: bool
    armed: bool
    threshold: float


class EarlyRule:
    """Of one policy and turn limit."""

    def __init__(self, policy: PolicyConfig, max_turns: int) -> None:
        self._hysteresis = policy.hysteresis
        self._bounds = boundaries(
            policy.false_hang_up_cost, policy.fraud_turn_cost, policy.turn_evidence, max_turns
        )

    def threshold(self, turns: int) -> float:
        """P(illegal) from which hanging up after `turns` turns of the caller costs least."""
        return _probability(self._bound(turns))

    def step(self, probability: float, turns: int, armed: bool) -> Step:
        """A judgement after `turns` turns (from 1), and whether the one before it armed."""
        bound = self._bound(turns)
        above = log_odds(probability) - bound
        hang_up = above >= self._hysteresis or (armed and above >= -self._hysteresis)
        return Step(hang_up, above >= -self._hysteresis, _probability(bound))

    def _bound(self, turns: int) -> float:
        left = min(max(len(self._bounds) - turns, 0), len(self._bounds) - 1)
        return self._bounds[left]


@functools.lru_cache(maxsize=64)
def boundaries(
    false_hang_up_cost: float, fraud_turn_cost: float, turn_evidence: float, max_turns: int
) -> tuple[float, ...]:
    """Log-odds from which to hang up, by the number of turns that may still come: 0 after the last
    one, max_turns - 1 after the first. They fall: the more is to come, the more is saved. Kept:
    every call of a policy asks for the same ones."""
    odds: NDArray[np.float64] = np.arange(-_WIDEST, _WIDEST + _STEP / 2, _STEP)
    p = 1 / (1 + np.exp(-odds))
    stop = false_hang_up_cost * (1 - p)
    value = np.zeros_like(odds)
    bounds: list[float] = []
    for _ in range(max_turns):
        go_on = fraud_turn_cost * p + _expected(value, odds, p, turn_evidence)
        bounds.append(_crossing(odds, stop - go_on))
        value = np.minimum(stop, go_on)
    return tuple(bounds)


def _expected(
    value: NDArray[np.float64], odds: NDArray[np.float64], p: NDArray[np.float64], d: float
) -> NDArray[np.float64]:
    """E[V(p')] at each of `odds` (n,), by quadrature over the next turn's evidence."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    moved = odds[:, None] + d * nodes[None, :]
    fraud = np.interp(moved + d * d / 2, odds, value) @ weights
    other = np.interp(moved - d * d / 2, odds, value) @ weights
    mixed: NDArray[np.float64] = p * fraud + (1 - p) * other
    return mixed


def _crossing(odds: NDArray[np.float64], difference: NDArray[np.float64]) -> float:
    """Where `difference` (n,), falling, becomes 0."""
    below = np.flatnonzero(difference <= 0)
    if not len(below):
        return _WIDEST
    at = int(below[0])
    if at == 0:
        return -_WIDEST
    before, after = float(difference[at - 1]), float(difference[at])
    return float(odds[at - 1]) + _STEP * before / (before - after)


def _probability(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))
