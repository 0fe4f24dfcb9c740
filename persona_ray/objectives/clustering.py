"""Units: clusters of frames, found by mini-batch k-means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_ray.config.pretraining import MOST_UNITS
from persona_ray.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Frames of one step, starts that compete, and steps without progress that end it.
_BATCH = 10_000
_STARTS = 3
_PATIENCE = 30
_PASSES = 50
# Squared distances held at a time, in numbers.
_DISTANCES = 1 << 24


def find_centres(frames: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.float32]:
    """Centres (clusters, features) of `frames` (frames, features); the same for the same seed.

    Raises TrainingError where there are fewer frames than clusters.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if len(frames) < clusters:
        raise TrainingError(
            f"{len(frames)} frames are too few for {clusters} units: lower clusters, or raise "
            "sampled_frames, in pretraining.speech.iterations"
        )
    if clusters > MOST_UNITS:
        raise TrainingError(f"clusters {clusters} is more than {MOST_UNITS}: lower it")
    kmeans = MiniBatchKMeans(
        n_clusters=clusters,
        batch_size=_BATCH,
        n_init=_STARTS,
        max_iter=_PASSES,
        max_no_improvement=_PATIENCE,
        tol=0.0,
        compute_labels=False,
        random_state=seed,
    )
    # Sums of several threads come in any order, and rounding with them.
    with threadpool_limits(limits=1):
        kmeans.fit(frames)
    return np.ascontiguousarray(kmeans.cluster_centers_, dtype=np.float32)


def nearest(frames: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Units (frames,): the nearest of `centres` (clusters, features), the first among equals."""
    # |x - c|^2 less |x|^2, which is the same for every centre.
    norms = np.sum(centres.astype(np.float64) ** 2, axis=1)
    step = max(_DISTANCES // len(centres), 1)
    units = np.empty(len(frames), dtype=np.uint16)
    for first in range(0, len(frames), step):
        part = frames[first : first + step].astype(np.float64)
        distances = norms - 2.0 * (part @ centres.T.astype(np.float64))
        units[first : first + step] = distances.argmin(axis=1)
    return units
