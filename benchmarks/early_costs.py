"""What hanging up by the early rule costs, against fixed thresholds, on simulated callers.

A caller is a fraud with a probability that is itself spread over calls (the source says little);
each turn moves the log-odds by N(+d^2/2, d^2) for fraud, N(-d^2/2, d^2) for others. The model's
judgement is the calibrated one plus jitter N(0, s^2) in log-odds at every turn, calibrated again
turn by turn on other calls (slope and offset of the log-odds), as a model is before it is used;
with `--raw` it is not, and such a model is too sure of itself. Cost of a call:
`false_hang_up_cost` where a caller who is no fraud is hung up on, `fraud_turn_cost` for each turn
(and the goodbye) that a fraud goes on after the first one. Nothing here knows the session: the
rule alone is measured. Prints mean cost per call with its standard error, false hang-ups, missed
frauds, and turns until frauds are hung up on.

    python -m benchmarks.early_costs [--calls 40000]
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.shared import described
from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.inference.screening.early import EarlyRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TURNS = 6
FIXED = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999)
# Of one call: its judgements (turns,) -> after how many turns it is hung up on; 0: never.
Rule = Callable[["NDArray[np.float64]"], int]


@dataclass(frozen=True, slots=True)
class Calls:
    """Simulated ones: `fraud` (calls,), `judged` (calls, turns) as probabilities."""

    fraud: NDArray[np.bool_]
    judged: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a rule; `error` is the standard error of `mean`, `each` (calls,) what they are of."""

    mean: float
    error: float
    false_hang_ups: float
    missed: float
    turns: float
    each: NDArray[np.float64]


def simulate(count: int, d: float, jitter: float, seed: int, calibrated: bool = True) -> Calls:
    """`count` calls, about 0.3 of them frauds."""
    fraud, odds = _odds(count, d, jitter, seed)
    if calibrated and jitter:
        others, theirs = _odds(20_000, d, jitter, seed + 1)
        for turn in range(MAX_TURNS):
            slope, offset = _calibration(theirs[:, turn], others)
            odds[:, turn] = slope * odds[:, turn] + offset
    return Calls(fraud, 1 / (1 + np.exp(-odds)))


def _odds(
    count: int, d: float, jitter: float, seed: int, fraud_share: float = 0.3
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    start = rng.normal(np.log(fraud_share / (1 - fraud_share)), 0.5, count)
    fraud = rng.random(count) < 1 / (1 + np.exp(-start))
    sign = np.where(fraud, 1.0, -1.0)[:, None]
    moves = rng.normal(sign * d * d / 2, d, (count, MAX_TURNS))
    odds = start[:, None] + np.cumsum(moves, axis=1)
    odds += rng.normal(0, jitter, odds.shape)
    return fraud, odds


def _calibration(odds: NDArray[np.float64], fraud: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of Platt's scaling, by Newton's method."""
    inputs = np.stack([odds, np.ones_like(odds)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(12):
        p = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs * (p * (1 - p))[:, None]).T @ inputs
        weights = weights - np.linalg.solve(curvature, inputs.T @ (p - fraud))
    return float(weights[0]), float(weights[1])


def fixed(threshold: float) -> Rule:
    """Hang up as soon as P(illegal) is `threshold`."""

    def rule(judged: NDArray[np.float64]) -> int:
        above = np.flatnonzero(judged >= threshold)
        return int(above[0]) + 1 if len(above) else 0

    return rule


def early(policy: PolicyConfig) -> Rule:
    """The product's rule."""
    decides = EarlyRule(policy, MAX_TURNS)

    def rule(judged: NDArray[np.float64]) -> int:
        armed = False
        for turns, probability in enumerate(judged, 1):
            step = decides.step(float(probability), turns, armed)
            if step.hang_up:
                return turns
            armed = step.armed
        return 0

    return rule


def costs(rule: Rule, calls: Calls, policy: PolicyConfig) -> Costs:
    stopped = np.array([rule(judged) for judged in calls.judged])
    hung_up = stopped > 0
    # Turns after the first; the goodbye of a call that was never hung up on is one.
    listened = np.where(hung_up, stopped - 1, MAX_TURNS)
    each = np.where(
        calls.fraud,
        policy.fraud_turn_cost * listened,
        policy.false_hang_up_cost * hung_up,
    )
    frauds, others = calls.fraud, ~calls.fraud
    return Costs(
        float(each.mean()),
        float(each.std() / np.sqrt(len(each))),
        float(hung_up[others].mean()),
        float((~hung_up[frauds]).mean()),
        float(stopped[frauds & hung_up].mean()) if (frauds & hung_up).any() else float("nan"),
        each,
    )


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--raw", action="store_true", help="jitter is not calibrated away")
    chosen = parser.parse_args()
    for d, jitter in itertools.product((0.5, 1.0, 2.0), (0.0, 0.5, 1.0)):
        calls = simulate(chosen.calls, d, jitter, chosen.seed, not chosen.raw)
        rules: dict[str, Rule] = {
            f"hysteresis {h:g}": early(PolicyConfig(turn_evidence=d, hysteresis=h))
            for h in (0.0, 0.25, 0.5, 1.0)
        }
        rules["as shipped"] = early(PolicyConfig())
        rules |= {f"fixed {threshold:g}": fixed(threshold) for threshold in FIXED}
        print(f"\nd' {d:g}, jitter {jitter:g}")
        print("| rule | cost | +- | false hang-ups | missed frauds | turns to hang up |")
        print("|---|---|---|---|---|---|")
        for name, rule in rules.items():
            found = costs(rule, calls, PolicyConfig())
            print(
                f"| {name} | {found.mean:.3f} | {found.error:.3f} | {found.false_hang_ups:.2%} "
                f"| {found.missed:.1%} | {found.turns:.2f} |"
            )


if __name__ == "__main__":
    main()
