"""Properties of the plan of an epoch."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.errors import TrainingError
from persona_ray.training.batching import Step, plan_epoch, plan_pass

lengths = st.lists(st.floats(0.3, 12.0), min_size=4, max_size=80)
worlds = st.integers(1, 4)


def padded_s(part: tuple[int, ...], durations_s: list[float]) -> float:
    return len(part) * max(durations_s[at] for at in part)


@given(lengths, worlds, st.floats(1.0, 90.0), st.integers(0, 5), st.integers(1, 5))
def test_every_clip_once_and_every_worker_in_every_step(
    durations_s: list[float], world_size: int, batch_s: float, seed: int, epoch: int
) -> None:
    steps = plan_epoch(durations_s, batch_s, world_size, seed, epoch)
    seen = Counter(at for step in steps for part in step.parts for at in part)
    assert seen == Counter(range(len(durations_s)))
    assert all(len(step.parts) == world_size and all(step.parts) for step in steps)
    assert sum(step.clips for step in steps) == len(durations_s)
    # Only the incomplete row makes the parts of a step uneven.
    assert sum(len(set(map(len, step.parts))) > 1 for step in steps) <= 1


@given(lengths, worlds, st.floats(12.0, 90.0))
def test_padded_audio_stays_within_the_bound(
    durations_s: list[float], world_size: int, batch_s: float
) -> None:
    steps = plan_epoch(durations_s, batch_s, world_size, seed=1, epoch=1)
    whole = len(durations_s) % world_size == 0
    over = [
        part
        for step in steps
        for part in step.parts
        if padded_s(part, durations_s) > batch_s + 1e-9
    ]
    assert not over if whole else len(over) <= world_size


@given(lengths, worlds)
def test_the_plan_is_a_function_of_seed_and_epoch(durations_s: list[float], world: int) -> None:
    first = plan_epoch(durations_s, 30.0, world, seed=3, epoch=2)
    assert first == plan_epoch(durations_s, 30.0, world, seed=3, epoch=2)


def test_epochs_differ_and_batches_hold_clips_of_like_length() -> None:
    durations_s = [1.0 + at / 40 for at in range(400)]
    steps = plan_epoch(durations_s, 60.0, 1, seed=0, epoch=1)
    assert steps != plan_epoch(durations_s, 60.0, 1, seed=0, epoch=2)
    assert steps != plan_epoch(durations_s, 60.0, 1, seed=1, epoch=1)
    padding = sum(padded_s(step.parts[0], durations_s) for step in steps) / sum(durations_s)
    assert padding < 1.3
    longest = [max(durations_s[at] for at in step.parts[0]) for step in steps]
    assert longest != sorted(longest)


def test_one_workers_step_is_two_workers_step_with_half_the_bound() -> None:
    durations_s = [2.0] * 48

    def clips(steps: list[Step]) -> list[set[int]]:
        return [{at for part in step.parts for at in part} for step in steps]

    alone = plan_epoch(durations_s, 16.0, 1, seed=0, epoch=1)
    shared = plan_epoch(durations_s, 8.0, 2, seed=0, epoch=1)
    assert clips(alone) == clips(shared)


@given(lengths, worlds, st.floats(1.0, 90.0))
def test_a_reading_pass_visits_every_clip_once(
    durations_s: list[float], world_size: int, batch_s: float
) -> None:
    batches = [
        batch
        for rank in range(world_size)
        for batch in plan_pass(durations_s, batch_s, rank, world_size)
    ]
    assert Counter(at for batch in batches for at in batch) == Counter(range(len(durations_s)))
    for batch in batches:
        assert len(batch) == 1 or padded_s(batch, durations_s) <= batch_s


def test_more_workers_than_clips_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"lower launch.workers to at most 3"):
        plan_epoch([1.0, 2.0, 3.0], 10.0, 4, seed=0, epoch=1)
