"""Which frames of a clip are masked: spans from random starts.

Hsu et al. 2021 (arXiv 2106.07447, section 3.3): a share of the frames, 8 %, are starts of spans of
10 frames; spans may overlap, and about half of all frames are masked.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def span_mask(
    frames: int, start: float, length: int, seed: int, epoch: int, clip_id: str
) -> NDArray[np.bool_]:
    """Masked frames (frames,) of one clip in one epoch, whatever batch it stands in.

    `start` is the share of frames that begin a span, rounded up or down at random, and at least
    one. A clip of at most one span of `length` frames is not masked: nothing would be left to
    tell what is missing.
    """
    mask = np.zeros(frames, dtype=np.bool_)
    places = frames - length + 1
    if places < 2:
        return mask
    digest = hashlib.sha256(clip_id.encode()).digest()
    rng = np.random.default_rng([seed, epoch, int.from_bytes(digest[:8], "little")])
    spans = min(max(int(start * frames + rng.random()), 1), places)
    for first in rng.choice(places, size=spans, replace=False):
        mask[first : first + length] = True
    return mask
