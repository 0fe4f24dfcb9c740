"""Which items make an update, and who passes them through the model, in which portions.

An update is planned without knowledge of the workers: items of like length whose padded size
(items x longest) stays within `update_size`. Only then is it dealt: 1 worker, 8 workers or a run
that goes on with more of them take the same updates in the same order.

    update 9 8 8 4 4 3 (longest first), world_size 2, micro_size 18
    runs within 18 padded:               (9 8) (8 4) (4 3): 3, so 2 for each of 2 ranks
    at most 4 runs, costliest cheapest:  (9) (8) (8) (4 4 3)
    dealt by cost, there and back:       rank 0: (4 4 3) (8)   rank 1: (9) (8)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from persona_ray.errors import TrainingError

# Standard deviation of the logarithm of a length: items within some 10 % change places.
BLUR = 0.1

Update = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Portion:
    """Items of one micro-batch. `counts` is False for a filler: it runs because the other ranks
    run (collective operations need every rank), and its loss counts nothing."""

    positions: tuple[int, ...]
    counts: bool = True


def plan_updates(sizes: Sequence[float], update_size: float, seed: int, epoch: int) -> list[Update]:
    """The updates of one epoch: every item once, deterministic by `seed` and `epoch`.

    The padded size of an update exceeds `update_size` only where a single item does.
    """
    rng = np.random.default_rng((seed, epoch))
    lengths = np.asarray(sizes, dtype=np.float64)
    order = blurred_order(lengths, rng)
    updates = [
        tuple(int(position) for position in order[start:end])
        for start, end in _cuts(lengths[order], update_size)
    ]
    return [updates[at] for at in rng.permutation(len(updates))]


def blurred_order(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions by length, but for `BLUR`: neighbours change places from epoch to epoch."""
    blurred = np.log(np.maximum(lengths, 1e-3)) + rng.normal(0.0, BLUR, len(lengths))
    return np.argsort(blurred, kind="stable")


def count_updates(sizes: Sequence[float], update_size: float, seed: int, epochs: int) -> list[int]:
    """Updates of each epoch; they differ a little, as the order of items does."""
    lengths = np.asarray(sizes, dtype=np.float64)
    counts = []
    for epoch in range(epochs):
        order = blurred_order(lengths, np.random.default_rng((seed, epoch)))
        counts.append(len(_cuts(lengths[order], update_size)))
    return counts


def deal(
    update: Update, sizes: Sequence[float], world_size: int, micro_size: float
) -> list[tuple[Portion, ...]]:
    """The portions of each rank: as few as `micro_size` (padded) allows, the same number on every
    rank, every item once, of about the same cost. Where an item is longer than `micro_size`, it
    stands alone, and as much is allowed to the other portions.
    """
    if not update:
        raise TrainingError("an update has no item: report this")
    order = sorted(update, key=lambda position: (-sizes[position], position))
    lengths = np.asarray([sizes[position] for position in order], dtype=np.float64)
    bound = max(micro_size, float(lengths[0]))
    needed = len(_cuts(lengths, bound))
    wanted = -(-needed // world_size) * world_size
    cuts = _split(_evened(lengths, bound, wanted), lengths, wanted)
    cuts.sort(key=lambda cut: (-_cost(lengths, cut), cut))
    portions = [Portion(tuple(order[start:end])) for start, end in cuts]
    # The shortest item costs least.
    portions += [Portion((order[-1],), counts=False)] * (wanted - len(portions))
    ranks: list[list[Portion]] = [[] for _ in range(world_size)]
    for row, start in enumerate(range(0, wanted, world_size)):
        parts = portions[start : start + world_size]
        for rank, portion in enumerate(parts if row % 2 == 0 else reversed(parts)):
            ranks[rank].append(portion)
    return [tuple(rank) for rank in ranks]


def plan_passes(
    sizes: Sequence[float], bound: float, world_size: int
) -> list[list[tuple[int, ...]]]:
    """Each worker's batches for a pass that only reads: every item at least once, batches of like
    length within `bound` (padded), as many on one worker as on the other. Where there are too few,
    the shortest item comes again."""
    lengths = np.asarray(sizes, dtype=np.float64)
    order = np.argsort(-lengths, kind="stable")
    batches = [
        tuple(int(position) for position in order[start:end])
        for start, end in _cuts(lengths[order], bound)
    ]
    batches += [(int(order[-1]),)] * (-len(batches) % world_size)
    return [batches[rank::world_size] for rank in range(world_size)]


Cut = tuple[int, int]


def _cuts(lengths: np.ndarray, bound: float) -> list[Cut]:
    """Consecutive runs, as long as items x longest stays within `bound`, at least one item each."""
    bound *= 1 + 1e-9  # sums of seconds are rounded
    cuts: list[Cut] = []
    start, window = 0, 32
    while start < len(lengths):
        while True:
            part = lengths[start : start + window]
            padded = np.maximum.accumulate(part) * np.arange(1, len(part) + 1)
            fits = int(np.searchsorted(padded, bound, side="right"))
            if fits < len(part) or start + len(part) == len(lengths):
                break
            window *= 2
        end = start + max(1, fits)
        cuts.append((start, end))
        start = end
    return cuts


def _evened(lengths: np.ndarray, bound: float, wanted: int) -> list[Cut]:
    """At most `wanted` cuts whose costliest costs as little as can be."""
    low, high = float(lengths[0]), bound
    best = _cuts(lengths, high)
    if wanted == 1:
        return best
    for _ in range(16):
        middle = (low + high) / 2
        tried = _cuts(lengths, middle)
        if len(tried) <= wanted:
            best, high = tried, middle
        else:
            low = middle
    return best


def _split(cuts: list[Cut], lengths: np.ndarray, wanted: int) -> list[Cut]:
    """The costliest are halved until there are `wanted`, or single items only."""
    cuts = list(cuts)
    while len(cuts) < wanted:
        divisible = [cut for cut in cuts if cut[1] - cut[0] > 1]
        if not divisible:
            break
        costliest = max(divisible, key=lambda cut: (_cost(lengths, cut), cut))
        start, end = costliest
        middle = (start + end) // 2
        cuts.remove(costliest)
        cuts += [(start, middle), (middle, end)]
    return cuts


def _cost(lengths: np.ndarray, cut: Cut) -> float:
    return float(lengths[cut[0]] * (cut[1] - cut[0]))
