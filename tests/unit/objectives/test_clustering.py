"""Units: found again by seed, nearest by distance, and the clusters that are there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona_ray.errors import TrainingError
from persona_ray.objectives.clustering import find_centres, nearest

POINTS = arrays(np.float32, (40, 3), elements=st.floats(-100, 100, width=16))


@settings(max_examples=40, deadline=None)
@given(frames=POINTS, centres=arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=16)))
def test_the_unit_is_the_nearest_centre(frames: np.ndarray, centres: np.ndarray) -> None:
    distances = ((frames[:, None].astype(float) - centres[None]) ** 2).sum(axis=2)
    units = nearest(frames, centres)
    assert units.dtype == np.uint16
    np.testing.assert_allclose(
        distances[np.arange(40), units], distances.min(axis=1), rtol=1e-9, atol=1e-6
    )


def test_among_equal_centres_the_first_is_taken() -> None:
    frames = np.ones((5, 3), dtype=np.float32)
    assert nearest(frames, np.zeros((4, 3), dtype=np.float32)).tolist() == [0] * 5


def test_many_frames_are_dealt_with_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from persona_ray.objectives import clustering

    rng = np.random.default_rng(0)
    frames, centres = rng.random((101, 4), np.float32), rng.random((9, 4), np.float32)
    whole = nearest(frames, centres)
    monkeypatch.setattr(clustering, "_DISTANCES", 9 * 7)
    np.testing.assert_array_equal(nearest(frames, centres), whole)


def test_clusters_that_are_there_are_found_and_found_again() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(-50, 50, (12, 5)).astype(np.float32)
    labels = rng.integers(0, 12, 5_000)
    frames = (true[labels] + 0.1 * rng.standard_normal((5_000, 5))).astype(np.float32)
    centres = find_centres(frames, 12, seed=4)
    assert centres.shape == (12, 5)
    assert centres.dtype == np.float32
    distances = np.linalg.norm(true[:, None] - centres[None], axis=2).min(axis=1)
    assert distances.max() < 0.1
    np.testing.assert_array_equal(centres, find_centres(frames, 12, seed=4))
    assert not np.array_equal(centres, find_centres(frames, 12, seed=5))


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(TrainingError, match="9 frames are too few for 10 units"):
        find_centres(np.zeros((9, 3), dtype=np.float32), 10, seed=0)
