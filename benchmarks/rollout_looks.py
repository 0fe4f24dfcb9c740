"""How often a rollout is taken back that should not be, and how soon one that should.

    python -m benchmarks.rollout_looks

Simulated requests that both models answer, judged after every one of them by the service's own
`judge`. Beside it the same counts under an exact binomial test at each look, as if there were one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from benchmarks.shared import described
from persona_ray.config.serving import RolloutConfig
from persona_ray.serving.rollout.evidence import log_e_above
from persona_ray.serving.rollout.verdict import EVEN, Question

QUESTIONS = len(Question)
Boundary = NDArray[np.int64]


@dataclass(frozen=True)
class Challenger:
    """Chances in each request: that it alone fails, or the champion alone; that it is too slow;
    that its colour differs."""

    name: str
    fails: float = 0.0
    champion_fails: float = 0.0
    slow: float = 0.1
    differs: float = 0.1


GOOD = (
    Challenger("alike", 0.01, 0.01, 0.1, 0.1),
    Challenger("at every limit", 0.02, 0.02, 0.5, 0.3),
)
BAD = (
    Challenger("always fails", fails=1.0),
    Challenger("fails in 10 %", fails=0.1, champion_fails=0.001),
    Challenger("fails in 3 %, champion in 0.5 %", fails=0.03, champion_fails=0.005),
    Challenger("too slow in 90 %", slow=0.9),
    Challenger("too slow in 60 %", slow=0.6),
    Challenger("60 % of colours differ", differs=0.6),
    Challenger("40 % of colours differ", differs=0.4),
)


def always_valid(limit: float, significance: float, seen: int) -> Boundary:
    """(seen + 1,): the smallest sum at which the hypothesis is refused; seen + 1: none."""
    needed = math.log(QUESTIONS / significance)
    return _boundary(lambda n, s: log_e_above(n, s, limit) >= needed, seen)


def fixed_size(limit: float, significance: float, seen: int) -> Boundary:
    """The same for an exact binomial test that takes each look for the only one."""
    sizes = np.arange(seen + 1)
    return np.asarray(binom.isf(significance / QUESTIONS, sizes, limit) + 1, dtype=np.int64)


def _boundary(refused: Callable[[int, int], bool], seen: int) -> Boundary:
    found = np.empty(seen + 1, dtype=np.int64)
    total = 0
    for n in range(seen + 1):
        # It never falls as n grows.
        while total <= n and not refused(n, total):
            total += 1
        found[n] = total
    return found


def taken_back_after(
    challenger: Challenger,
    boundaries: tuple[Boundary, Boundary],
    runs: int,
    min_requests: int,
    seed: int,
) -> NDArray[np.float64]:
    """(runs,): requests until the challenger is taken back, infinite where it is not."""
    even, colours = boundaries
    requests = len(even) - 1
    chance = np.random.default_rng(seed)
    after = np.full(runs, np.inf)
    for run in range(runs):
        which = chance.random(requests)
        failed = which < challenger.fails
        champion_failed = (which >= challenger.fails) & (
            which < challenger.fails + challenger.champion_fails
        )
        answered = ~(failed | champion_failed)
        slow = (chance.random(requests) < challenger.slow) & answered
        differs = (chance.random(requests) < challenger.differs) & answered
        timed = np.cumsum(answered)
        refused = (
            (np.cumsum(failed) >= even[np.cumsum(failed | champion_failed)])
            | (np.cumsum(slow) >= even[timed])
            | (np.cumsum(differs) >= colours[timed])
        )
        refused[: min_requests - 1] = False
        if refused.any():
            after[run] = int(refused.argmax()) + 1
    return after


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=10_000)
    args = parser.parse_args()
    config = RolloutConfig()
    print(f"{args.runs} rollouts of {args.requests} requests, a look after each; {config!r}\n")
    tests = {"always valid": always_valid, "each look alone": fixed_size}
    print("| challenger | test | taken back | requests until then: median | 95 % within |")
    print("|---|---|---|---|---|")
    for challenger in (*GOOD, *BAD):
        for name, test in tests.items():
            if challenger in BAD and test is fixed_size:
                continue
            boundaries = (
                test(EVEN, config.significance, args.requests),
                test(config.max_disagreement, config.significance, args.requests),
            )
            after = taken_back_after(challenger, boundaries, args.runs, config.min_requests, 1)
            back = float(np.isfinite(after).mean())
            row = [challenger.name, name, f"{back:.2%}"]
            if challenger in BAD:
                row += [f"{np.quantile(after, q, method='higher'):g}" for q in (0.5, 0.95)]
            else:
                row += ["", ""]
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
