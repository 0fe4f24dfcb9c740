"""The one place where a sample rate changes."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Odd pairs of rates (44101 -> 8000) would need a filter for each of 8000 phases: the ratio is
# taken as the nearest fraction with at most this denominator. 8, 16, 11.025, 44.1 and 48 kHz among
# each other stay exact; others are off by a few millionths, 0.02 s in two hours at the worst.
_MAX_DENOMINATOR = 1280


def resample(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Samples (..., n) at `from_hz` -> (..., ceil(n * to_hz / from_hz)) at `to_hz`.

    Windowed-sinc interpolation (torchaudio, Kaiser window); what lies above the new Nyquist
    frequency is removed. The input itself is returned where the rates are equal.
    """
    if from_hz == to_hz or samples.shape[-1] == 0:
        return samples
    import torch
    import torchaudio

    ratio = Fraction(from_hz, to_hz).limit_denominator(_MAX_DENOMINATOR)
    out = torchaudio.functional.resample(
        torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)),
        ratio.numerator,
        ratio.denominator,
        lowpass_filter_width=32,
        rolloff=0.95,
        resampling_method="sinc_interp_kaiser",
        beta=10.0,
    )
    length = -(-samples.shape[-1] * to_hz // from_hz)
    short = length - out.shape[-1]
    if short > 0:
        out = torch.nn.functional.pad(out, (0, short))
    return np.ascontiguousarray(out[..., :length].numpy())
