"""Steps of clips of like length, dealt to the workers without losing or doubling one.

A step is what all workers do between two updates of the weights. Clips are sorted by length
(blurred, so that each epoch mixes them anew), laid in rows of one clip per worker, and rows are
joined into a step while one worker's part, padding included, stays within `batch_s`:

    world_size 2, batch_s 6, sorted lengths 1 1 2 2 3 3  ->  rows (1 1) (2 2) (3 3)
    rows 1 and 2 make a step: 2 rows x longest 2 s = 4 s a worker; row 3 a step of 1 x 3 s.

The remainder of clips / world_size is an incomplete row. It stands first, among the shortest
clips, and is joined to the next row, so that every worker has work in every step; the workers'
parts of that one step differ by one clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from persona_ray.errors import TrainingError

# Standard deviation of the logarithm of a length: clips within some 10 % change places.
BLUR = 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """One update: `parts[rank]` are the positions of a worker's clips."""

    parts: tuple[tuple[int, ...], ...]

    @property
    def clips(self) -> int:
        return sum(len(part) for part in self.parts)


def plan_epoch(
    durations_s: Sequence[float], batch_s: float, world_size: int, seed: int, epoch: int
) -> list[Step]:
    """The steps of one epoch over clips of `durations_s`, the same on every worker.

    Deterministic by `seed` and `epoch`. A worker's part exceeds `batch_s` only where its longest
    clip alone does, or to take in the incomplete row. Raises TrainingError for fewer clips than
    workers.
    """
    if len(durations_s) < world_size:
        raise TrainingError(
            f"{len(durations_s)} clips for {world_size} workers: lower launch.workers to at most "
            f"{max(1, len(durations_s))}"
        )
    rng = np.random.default_rng((seed, epoch))
    lengths = np.asarray(durations_s, dtype=np.float64)
    order = blurred_order(lengths, rng)
    remainder = len(order) % world_size
    rows = [order[start : start + world_size] for start in range(remainder, len(order), world_size)]
    groups: list[list[np.ndarray]] = []
    longest = 0.0
    for row in rows:
        row_longest = float(lengths[row].max())
        if groups and (len(groups[-1]) + 1) * max(longest, row_longest) <= batch_s:
            groups[-1].append(row)
            longest = max(longest, row_longest)
        else:
            groups.append([row])
            longest = row_longest
    if remainder:
        groups[0].append(order[:remainder])
    # Drawn before the dealing, so that the order of steps is the same for any number of workers.
    order_of_steps = rng.permutation(len(groups))
    return [_deal(groups[at], world_size, rng) for at in order_of_steps]


def blurred_order(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions by length, but for `BLUR`: neighbours change places from epoch to epoch."""
    blurred = np.log(np.maximum(lengths, 1e-3)) + rng.normal(0.0, BLUR, len(lengths))
    return np.argsort(blurred, kind="stable")


def plan_pass(
    durations_s: Sequence[float], batch_s: float, rank: int, world_size: int
) -> list[tuple[int, ...]]:
    """One worker's batches for a pass that only reads: positions sorted by length, every
    `world_size`-th clip, as many at a time as fit `batch_s` (at least one)."""
    mine = np.argsort(np.asarray(durations_s), kind="stable")[rank::world_size]
    batches: list[list[int]] = []
    for position in mine:
        longest = durations_s[position]
        if batches and (len(batches[-1]) + 1) * longest <= batch_s:
            batches[-1].append(int(position))
        else:
            batches.append([int(position)])
    return [tuple(batch) for batch in batches]


def _deal(group: list[np.ndarray], world_size: int, rng: np.random.Generator) -> Step:
    """Rows to parts, turning each row at random: no worker always has the longest clip."""
    parts: list[list[int]] = [[] for _ in range(world_size)]
    for row in group:
        for rank, position in zip(rng.permutation(world_size), row, strict=False):
            parts[rank].append(int(position))
    return Step(tuple(tuple(part) for part in parts))
