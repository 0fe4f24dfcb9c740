"""Properties of updates and of how they are dealt to workers."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.training.plan import count_updates, deal, plan_passes, plan_updates

SIZES = st.lists(st.floats(0.1, 40.0), min_size=1, max_size=60)


def padded(positions: tuple[int, ...], sizes: list[float]) -> float:
    return len(positions) * max(sizes[position] for position in positions)


@given(SIZES, st.floats(1.0, 120.0), st.integers(0, 3))
def test_an_epoch_has_every_item_once_within_the_bound(
    sizes: list[float], bound: float, epoch: int
) -> None:
    updates = plan_updates(sizes, bound, seed=1, epoch=epoch)
    assert sorted(position for update in updates for position in update) == list(range(len(sizes)))
    for update in updates:
        assert len(update) == 1 or padded(update, sizes) <= bound * (1 + 1e-6)
    assert updates == plan_updates(sizes, bound, seed=1, epoch=epoch)
    assert count_updates(sizes, bound, seed=1, epochs=epoch + 1)[epoch] == len(updates)


def test_epochs_differ_and_items_of_an_update_are_of_like_length() -> None:
    sizes = [float(1 + item % 30) for item in range(600)]
    first, second = (plan_updates(sizes, 200.0, seed=0, epoch=epoch) for epoch in (0, 1))
    assert set(first) != set(second)
    shares = [sum(sizes[p] for p in update) / padded(update, sizes) for update in first]
    assert sum(shares) / len(shares) > 0.8  # half of it for items at random


@given(SIZES, st.integers(1, 5), st.floats(1.0, 80.0))
def test_every_rank_has_as_many_portions_and_every_item_has_one(
    sizes: list[float], world_size: int, micro: float
) -> None:
    update = tuple(range(len(sizes)))
    ranks = deal(update, sizes, world_size, micro)
    assert len(ranks) == world_size
    assert len({len(rank) for rank in ranks}) == 1
    portions = [portion for rank in ranks for portion in rank]
    counted = Counter(
        position for portion in portions if portion.counts for position in portion.positions
    )
    assert counted == Counter(update)
    # What the longest item needs alone, others may use too.
    bound = max(micro, *sizes) * (1 + 1e-6)
    assert all(padded(portion.positions, sizes) <= bound for portion in portions)
    # Fillers only where there are not enough items.
    if any(not portion.counts for portion in portions):
        assert all(len(portion.positions) == 1 for portion in portions)
        assert sum(portion.counts for portion in portions) == len(sizes)


@given(st.lists(st.floats(1.0, 3.0), min_size=8, max_size=20), st.integers(2, 4))
def test_ranks_wait_for_one_another_as_little_as_can_be(
    sizes: list[float], world_size: int
) -> None:
    # One portion for each rank, of items in the order of their sizes: the costliest costs no more
    # than in the best of all ways to cut.
    ranks = deal(tuple(range(len(sizes))), sizes, world_size, 1000.0)
    costs = [padded(portion.positions, sizes) for (portion,) in ranks]
    order = sorted(sizes, reverse=True)
    best = min(
        max(order[start] * (end - start) for start, end in pairwise((0, *cuts, len(order))))
        for cuts in combinations(range(1, len(order)), world_size - 1)
    )
    assert max(costs) <= best * 1.001


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_few_items_leave_fillers_of_the_shortest_item(world_size: int) -> None:
    ranks = deal((4, 7), [0.0, 0, 0, 0, 5.0, 0, 0, 9.0], world_size, 100.0)
    fillers = [portion for rank in ranks for portion in rank if not portion.counts]
    assert [filler.positions for filler in fillers] == [(4,)] * max(0, world_size - 2)


@given(SIZES, st.floats(1.0, 120.0), st.integers(1, 4))
def test_a_pass_has_every_item_and_as_many_batches_on_every_worker(
    sizes: list[float], bound: float, world_size: int
) -> None:
    ranks = plan_passes(sizes, bound, world_size)
    assert len({len(batches) for batches in ranks}) == 1
    batches = [batch for rank in ranks for batch in rank]
    seen = Counter(position for batch in batches for position in batch)
    again = {position for position, times in seen.items() if times > 1}
    assert set(seen) == set(range(len(sizes)))
    # Where there are too few batches, one of the shortest comes again, fewer times than workers.
    assert sum(seen.values()) - len(sizes) < world_size
    assert all(sizes[position] == min(sizes) for position in again)
    for batch in batches:
        assert len(batch) == 1 or padded(batch, sizes) <= bound * (1 + 1e-6)
