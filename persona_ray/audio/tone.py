"""How a clip sounds: how far speech stands out from its background, and how high the voice is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

_FRAME_S, _HOP_S = 0.04, 0.02
# Levels below this (dBFS) are digital silence.
_FLOOR_DB = -100.0
_PITCH_HZ = (70.0, 400.0)
# A frame is voiced where it repeats itself at least so well and is not much below the loudest.
_REPEATS, _BELOW_LOUDEST_DB = 0.6, 25.0
_VOICED_FRAMES = 5


def level_range_db(samples: Samples, rate_hz: int) -> float | None:
    """Between the loudest and the quietest tenth of the frames of 40 ms, in dB.

    In a clip that holds a sentence and its short pauses: about the ratio of speech to noise, from
    below. None for less than ten frames.
    """
    frames = _frames(samples, rate_hz)
    if len(frames) < 10:
        return None
    levels = _levels_db(frames)
    return float(np.quantile(levels, 0.9) - np.quantile(levels, 0.1))


def pitch_hz(samples: Samples, rate_hz: int) -> float | None:
    """The median pitch of voiced frames, by autocorrelation; None where hardly any is voiced."""
    frames = _frames(samples, rate_hz)
    if len(frames) == 0:
        return None
    levels = _levels_db(frames)
    frames = frames[levels > max(levels.max() - _BELOW_LOUDEST_DB, _FLOOR_DB + 1)]
    if len(frames) == 0:
        return None
    frames = frames - frames.mean(axis=1, keepdims=True)
    size = 2 * frames.shape[1]
    power = np.abs(np.fft.rfft(frames, size)) ** 2
    repeats = np.fft.irfft(power, size)[:, : frames.shape[1]]
    # Longer lags overlap less.
    overlap = 1 - np.arange(frames.shape[1]) / frames.shape[1]
    repeats = repeats / np.maximum(repeats[:, :1], 1e-12) / overlap
    first, last = (int(rate_hz / hz) for hz in reversed(_PITCH_HZ))
    lags = _first_peak(repeats[:, first : min(last, frames.shape[1] * 3 // 4) + 1])
    voiced = lags >= 0
    if voiced.sum() < _VOICED_FRAMES:
        return None
    return float(rate_hz / (first + np.median(lags[voiced])))


def _first_peak(repeats: NDArray[np.float64]) -> NDArray[np.int64]:
    """(frames,): of (frames, lags) the first local peak nearly as high as the highest, because a
    voice repeats itself after two periods as well as after one; -1 where none is high enough."""
    inner = repeats[:, 1:-1]
    highest = repeats.max(axis=1, keepdims=True)
    peaks = (inner >= repeats[:, :-2]) & (inner >= repeats[:, 2:])
    peaks &= (inner >= 0.9 * highest) & (inner >= _REPEATS)
    found: NDArray[np.int64] = np.where(peaks.any(axis=1), peaks.argmax(axis=1) + 1, -1)
    return found


def _frames(samples: Samples, rate_hz: int) -> NDArray[np.float64]:
    """(frames, samples of a frame)."""
    size, hop = round(_FRAME_S * rate_hz), round(_HOP_S * rate_hz)
    if len(samples) < size:
        return np.zeros((0, size))
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), size)
    found: NDArray[np.float64] = windows[::hop]
    return found


def _levels_db(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.mean(frames**2, axis=1)
    found: NDArray[np.float64] = np.maximum(10 * np.log10(np.maximum(power, 1e-20)), _FLOOR_DB)
    return found
