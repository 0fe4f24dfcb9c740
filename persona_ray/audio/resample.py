"""The one place where a sample rate changes."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Odd pairs of rates (44101 -> 8000) would need a filter for each of 8000 phases: the ratio is
# taken as the nearest fraction with at most this denominator. 8, 16, 11.025, 44.1 and 48 kHz among
# each other stay exact; others are off by a few millionths, 0.02 s in two hours at the worst.
_MAX_DENOMINATOR = 1280
# Zero crossings of the filter on either side, and where it begins to cut.
_CROSSINGS, _ROLLOFF = 32, 0.95


def resample(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Samples (..., n) at `from_hz` -> (..., ceil(n * to_hz / from_hz)) at `to_hz`.

    Windowed-sinc interpolation (torchaudio, Kaiser window); what lies above the new Nyquist
    frequency is removed. The input itself is returned where the rates are equal.
    """
    if from_hz == to_hz or samples.shape[-1] == 0:
        return samples
    import torch

    ratio = Fraction(from_hz, to_hz).limit_denominator(_MAX_DENOMINATOR)
    converter = _converter(ratio.numerator, ratio.denominator)
    out = converter(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)))
    length = -(-samples.shape[-1] * to_hz // from_hz)
    short = length - out.shape[-1]
    if short > 0:
        out = torch.nn.functional.pad(out, (0, short))
    return np.ascontiguousarray(out[..., :length].numpy())


@lru_cache(maxsize=16)
def _converter(from_hz: int, to_hz: int) -> Any:
    """The filter is worth keeping: a live call is converted a few milliseconds at a time."""
    import torch
    import torchaudio

    return torchaudio.transforms.Resample(
        from_hz,
        to_hz,
        lowpass_filter_width=_CROSSINGS,
        rolloff=_ROLLOFF,
        resampling_method="sinc_interp_kaiser",
        beta=10.0,
        dtype=torch.float32,
    )


class StreamResampler:
    """`resample` piece by piece: the pieces that come out, put together, are what `resample` makes
    of the pieces that went in, put together.

    `position` is the number of the next sample that comes out. Started in the middle of a call, at
    sample `start`, the first that comes out is the first that nothing before `start` has a part in.
    """

    def __init__(self, from_hz: int, to_hz: int, start: int = 0) -> None:
        self._rates = from_hz, to_hz
        ratio = Fraction(from_hz, to_hz).limit_denominator(_MAX_DENOMINATOR)
        self._in, self._out = ratio.numerator, ratio.denominator
        self.reach = reach(from_hz, to_hz)
        self._buffer = np.zeros(0, dtype=np.float32)
        # Where the buffer begins, and where it may be cut: both are on the grid on which a sample
        # that comes out falls on one that went in.
        self._begin = -(-start // self._in) * self._in
        self._skip = self._begin - start
        self.position = 0
        if from_hz == to_hz:
            self.position = self._begin = start
            self._skip = 0
        elif start > 0:
            self.position = -(-(self._begin + self.reach) * self._out // self._in)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples (n,) -> those (m,) that can be told by now."""
        if self._rates[0] == self._rates[1]:
            self.position += len(samples)
            return samples
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        self._buffer = np.concatenate([self._buffer, samples[skipped:]])
        heard = self._begin + len(self._buffer)
        return self._until((heard - self.reach) * self._out // self._in)

    def finish(self) -> NDArray[np.float32]:
        """What is left at the end of the call."""
        from_hz, to_hz = self._rates
        if from_hz == to_hz:
            return np.zeros(0, dtype=np.float32)
        heard = self._begin + len(self._buffer)
        return self._until(-(-heard * to_hz // from_hz))

    def _until(self, end: int) -> NDArray[np.float32]:
        if end <= self.position:
            return np.zeros(0, dtype=np.float32)
        converted = self._converted(self.position, end)
        self.position += len(converted)
        keep = max(0, self.position * self._in // self._out - self.reach)
        keep = max(self._begin, keep // self._in * self._in)
        self._buffer, self._begin = self._buffer[keep - self._begin :], keep
        return converted

    def _converted(self, start: int, end: int) -> NDArray[np.float32]:
        """By the filter of `resample`, without torch: a few milliseconds at a time, calling it
        costs more than the sums."""
        kernel, width = _kernel(self._in, self._out)
        first, last = start // self._out, (end - 1) // self._out
        low, high = first * self._in - width, last * self._in + width + self._in
        sound = np.zeros(high - low, dtype=np.float32)
        have = slice(max(low, self._begin), min(high, self._begin + len(self._buffer)))
        sound[have.start - low : have.stop - low] = self._buffer[
            have.start - self._begin : have.stop - self._begin
        ]
        windows = np.lib.stride_tricks.sliding_window_view(sound, kernel.shape[0])[:: self._in]
        out: NDArray[np.float32] = (windows @ kernel).ravel()
        return out[start - first * self._out : end - first * self._out]


@lru_cache(maxsize=16)
def _kernel(from_hz: int, to_hz: int) -> tuple[NDArray[np.float32], int]:
    """Weights (inputs, phases) of the outputs of one step, and how many inputs lie before it."""
    if from_hz == to_hz:
        # Rates so near to each other (8001 and 8000) that their ratio is taken as one.
        return np.ones((1, 1), dtype=np.float32), 0
    converter = _converter(from_hz, to_hz)
    kernel: NDArray[np.float32] = np.ascontiguousarray(converter.kernel.numpy()[:, 0].T)
    return kernel, int(converter.width)


def reach(from_hz: int, to_hz: int) -> int:
    """Samples at `from_hz` on either side that one sample at `to_hz` is made from."""
    if from_hz == to_hz:
        return 0
    return math.ceil(_CROSSINGS * from_hz / (min(from_hz, to_hz) * _ROLLOFF)) + 1
