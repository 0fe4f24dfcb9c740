"""Masks: by clip and epoch alone, in whole spans, of the share that is asked for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.objectives.spans import span_mask


@settings(deadline=None)
@given(
    frames=st.integers(1, 700),
    start=st.floats(0.01, 1.0),
    length=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
    clip_id=st.text(),
)
def test_spans_are_whole_and_something_is_masked_wherever_there_is_room(
    frames: int, start: float, length: int, seed: int, epoch: int, clip_id: str
) -> None:
    mask = span_mask(frames, start, length, seed, epoch, clip_id)
    assert mask.shape == (frames,)
    np.testing.assert_array_equal(mask, span_mask(frames, start, length, seed, epoch, clip_id))
    if frames <= length:
        assert not mask.any()
        return
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(int), 1)))
    runs = edges[1::2] - edges[::2]
    assert len(runs) >= 1
    assert runs.min() >= length


def test_masks_differ_by_clip_epoch_and_seed() -> None:
    masks = [
        span_mask(400, 0.08, 10, seed, epoch, clip_id).tobytes()
        for seed in (0, 1)
        for epoch in (0, 1)
        for clip_id in ("a", "b")
    ]
    assert len(set(masks)) == 8


def test_half_of_the_frames_are_masked_with_the_papers_settings() -> None:
    """8 % of frames start a span of 10: 1 - 0.92^10 = 57 % if starts were independent; drawn
    without repetition, and fewer at the edges, it is a little less."""
    masks = [span_mask(500, 0.08, 10, 0, epoch, "clip") for epoch in range(400)]
    assert 0.53 < np.mean(masks) < 0.58
    # No place is spared but the edges, which fewer spans reach.
    share = np.mean(masks, axis=0)
    assert share[15:-15].min() > 0.45
    assert share[15:-15].max() < 0.68
    assert share[0] > 0.04
    assert share[-1] > 0.04


def test_the_number_of_spans_is_right_on_average_for_short_clips() -> None:
    """12 frames at 8 %, length 1: 0.96 starts, one at least."""
    counts = [span_mask(12, 0.08, 1, 0, epoch, "clip").sum() for epoch in range(300)]
    assert set(counts) == {1}
    counts = [span_mask(20, 0.08, 1, 0, epoch, "clip").sum() for epoch in range(2000)]
    assert set(counts) == {1, 2}
    assert 1.5 < np.mean(counts) < 1.7
