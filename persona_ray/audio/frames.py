"""Samples and frames: where an encoder's frames lie, and how much of a clip it hears."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.types import Samples

# Resampled beyond the cut, so that its edge stays clean.
_BEYOND_S = 0.1


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """Frame t sees the samples [t * stride, t * stride + window) at `rate_hz`.

    A stack of convolutions without padding is such a grid, whatever its depth: its stride is the
    product of theirs, its window what one output depends on.
    """

    rate_hz: int
    window: int
    stride: int

    def frames(self, samples: int) -> int:
        """Frames of a clip of `samples`; a shorter one is padded to one window."""
        return max(samples - self.window, 0) // self.stride + 1

    def samples(self, frames: int) -> int:
        """Samples that `frames` (from 1) see together."""
        return (frames - 1) * self.stride + self.window


def heard(samples: Samples, from_hz: int, to_hz: int, longest_s: float) -> Samples:
    """Samples (n,) at `from_hz` -> what an encoder at `to_hz` hears: cut to `longest_s`."""
    samples = samples[: math.ceil((longest_s + _BEYOND_S) * from_hz)]
    if from_hz != to_hz:
        from persona_ray.audio.resample import resample

        samples = resample(samples, from_hz, to_hz)
    return samples[: int(longest_s * to_hz)]
