"""What another policy would have earned, told from what one policy did and earned.

Inverse propensity scoring (Horvitz and Thompson 1952), its self-normalised form (Swaminathan and
Joachims 2015), and the doubly robust estimate (Dudík, Langford and Li 2011, equation 4), which is
right where either the propensities or the model of rewards is right. Intervals resample customers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.evaluation.bootstrap import Estimate, draws, interval, ratio
from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Decision:
    """One logged choice. `logging` and `target` are the probabilities with which the policy that
    chose, and the one that is judged, take each action; `expected`: what a model of rewards that
    has not learnt from this customer says of each action of `target` and of the chosen one."""

    customer: str
    chosen: str
    reward: float
    logging: Mapping[str, float]
    target: Mapping[str, float]
    expected: Mapping[str, float]


class OffPolicy(Part):
    """Rewards per decision. `logged`: what was earned; `gain`: doubly robust less logged, on the
    same decisions. `effective`: decisions that the weights are worth (Kish 1965). `coverage`: the
    part of the judged policy that the logging one could take at all: what lies outside is known
    from the model of rewards alone. `clipped`: share of decisions whose weight was cut."""

    decisions: int
    customers: int
    logged: Estimate
    ips: Estimate
    self_normalised: Estimate
    doubly_robust: Estimate
    gain: Estimate
    effective: float
    coverage: float
    clipped: float


def judge_policy(
    decisions: Sequence[Decision],
    clip: float = float("inf"),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> OffPolicy:
    """`clip`: largest weight; a smaller one trades variance for bias. Raises ValueError where there
    is no decision, or a chosen action had no chance of being chosen."""
    import numpy as np

    taken = _weighed(decisions, clip)
    rewards, weights, robust = taken.rewards, taken.weights, taken.robust
    names, group = np.unique([one.customer for one in decisions], return_inverse=True)
    totals = _Totals(group, len(names), draws(len(names), resamples, seed))
    ones = np.ones(len(decisions))
    return OffPolicy(
        decisions=len(decisions),
        customers=len(names),
        logged=totals.share(rewards, ones),
        ips=totals.share(weights * rewards, ones),
        self_normalised=totals.share(weights * rewards, weights),
        doubly_robust=totals.share(robust, ones),
        gain=totals.share(robust - rewards, ones),
        effective=float(weights.sum() ** 2 / max((weights**2).sum(), 1e-300)),
        coverage=float(np.mean([_covered(one) for one in decisions])),
        clipped=float(np.mean(taken.cut)),
    )


def compare_policies(
    first: Sequence[Decision],
    second: Sequence[Decision],
    clip: float = float("inf"),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """By how much more the second policy would have earned per decision than the first: doubly
    robust, on the same decisions, so that what both share does not blur it. Raises ValueError as
    `judge_policy`, and where the decisions are not the same."""
    import numpy as np

    if [(one.customer, one.chosen, one.reward) for one in first] != [
        (one.customer, one.chosen, one.reward) for one in second
    ]:
        raise ValueError("both policies must be judged by the same decisions")
    gain = _weighed(second, clip).robust - _weighed(first, clip).robust
    names, group = np.unique([one.customer for one in first], return_inverse=True)
    totals = _Totals(group, len(names), draws(len(names), resamples, seed))
    return totals.share(gain, np.ones(len(first)))


@dataclass(frozen=True, slots=True)
class _Weighed:
    """(decisions,) each: rewards, importance weights, which of them were cut, and what the doubly
    robust estimate is the mean of."""

    rewards: Floats
    weights: Floats
    cut: NDArray[np.bool_]
    robust: Floats


def _weighed(decisions: Sequence[Decision], clip: float) -> _Weighed:
    import numpy as np

    if not decisions:
        raise ValueError("no decision is logged")
    for one in decisions:
        if not 0 < one.logging.get(one.chosen, 0.0) <= 1:
            raise ValueError(
                f"'{one.chosen}' was chosen with propensity {one.logging.get(one.chosen, 0.0):g}: "
                "it must be in (0, 1]"
            )
    rewards = np.array([one.reward for one in decisions])
    raw = np.array([one.target.get(one.chosen, 0.0) / one.logging[one.chosen] for one in decisions])
    weights = np.minimum(raw, clip)
    direct = np.array(
        [sum(chance * one.expected[action] for action, chance in one.target.items())
         for one in decisions]
    )  # fmt: skip
    residual = rewards - np.array([one.expected[one.chosen] for one in decisions])
    return _Weighed(rewards, weights, raw > clip, direct + weights * residual)


def _covered(one: Decision) -> float:
    return sum(chance for action, chance in one.target.items() if one.logging.get(action, 0.0) > 0)


@dataclass(frozen=True, slots=True)
class _Totals:
    """Sums by customer, resampled: `group` (decisions,) says whose each is."""

    group: Ints
    customers: int
    drawn: Ints

    def share(self, parts: Floats, wholes: Floats) -> Estimate:
        """The sum of parts over the sum of wholes; 0 where the wholes are nothing."""
        whole = float(wholes.sum())
        found = ratio(self.drawn @ self._sums(parts), self.drawn @ self._sums(wholes))
        return Estimate(
            value=float(parts.sum()) / whole if whole else 0.0, interval=interval(found)
        )

    def _sums(self, values: Floats) -> Floats:
        import numpy as np

        sums: Floats = np.bincount(
            self.group, weights=values.astype(np.float64), minlength=self.customers
        ).astype(np.float64)
        return sums
