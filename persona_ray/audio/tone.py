"""How a clip sounds: how far speech stands out from its background, and how high the voice is.

Frames are of 40 ms, one each 20 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

FRAME_S, HOP_S = 0.04, 0.02
# Levels below this (dBFS) are digital silence.
FLOOR_DB = -100.0
# What is so much quieter than the loudest frames is no speech.
BELOW_LOUDEST_DB = 25.0
_PITCH_HZ = (70.0, 400.0)
# A frame is voiced where it repeats itself at least so well.
_REPEATS = 0.6
_VOICED_FRAMES = 5


def level_range_db(samples: Samples, rate_hz: int) -> float | None:
    """Between the loudest and the quietest tenth of the frames of 40 ms, in dB.

    In a clip that holds a sentence and its short pauses: about the ratio of speech to noise, from
    below. None for less than ten frames.
    """
    levels = levels_db(frames_of(samples, rate_hz))
    if len(levels) < 10:
        return None
    return float(np.quantile(levels, 0.9) - np.quantile(levels, 0.1))


def pitch_hz(samples: Samples, rate_hz: int) -> float | None:
    """The median pitch of voiced frames; None where hardly any is voiced."""
    frames = frames_of(samples, rate_hz)
    if len(frames) == 0:
        return None
    levels = levels_db(frames)
    loud = levels > max(levels.max() - BELOW_LOUDEST_DB, FLOOR_DB + 1)
    track = pitch_track(frames[loud], rate_hz)
    voiced = track[track > 0]
    return float(np.median(voiced)) if len(voiced) >= _VOICED_FRAMES else None


def pitch_track(frames: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """(frames,): the pitch in Hz of (frames, samples of a frame), by autocorrelation; 0 where none
    is voiced. The lag is read between samples, by a parabola through the peak."""
    if len(frames) == 0:
        return np.zeros(0)
    frames = frames - frames.mean(axis=1, keepdims=True)
    width = frames.shape[1]
    size = 2 * width
    power = np.abs(np.fft.rfft(frames, size)) ** 2
    repeats = np.fft.irfft(power, size)[:, :width]
    # Longer lags overlap less.
    overlap = 1 - np.arange(width) / width
    repeats = repeats / np.maximum(repeats[:, :1], 1e-12) / overlap
    first, last = (int(rate_hz / hz) for hz in reversed(_PITCH_HZ))
    repeats = repeats[:, first : min(last, width * 3 // 4) + 1]
    lags = _first_peak(repeats)
    voiced = np.flatnonzero(lags >= 0)
    before, at, after = (repeats[voiced, lags[voiced] + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend < 0)
    found = np.zeros(len(frames))
    found[voiced] = rate_hz / (first + lags[voiced] + shift)
    return found


def _first_peak(repeats: NDArray[np.float64]) -> NDArray[np.int64]:
    """(frames,): of (frames, lags) the first local peak nearly as high as the highest, because a
    voice repeats itself after two periods as well as after one; -1 where none is high enough."""
    inner = repeats[:, 1:-1]
    highest = repeats.max(axis=1, keepdims=True)
    peaks = (inner >= repeats[:, :-2]) & (inner >= repeats[:, 2:])
    peaks &= (inner >= 0.9 * highest) & (inner >= _REPEATS)
    found: NDArray[np.int64] = np.where(peaks.any(axis=1), peaks.argmax(axis=1) + 1, -1)
    return found


def frames_of(samples: Samples, rate_hz: int) -> NDArray[np.float64]:
    """(frames, samples of a frame) of samples (n,); none for less than a frame."""
    size, hop = round(FRAME_S * rate_hz), round(HOP_S * rate_hz)
    if len(samples) < size:
        return np.zeros((0, size))
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), size)
    found: NDArray[np.float64] = windows[::hop]
    return found


def levels_db(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """(frames,): the power of each frame, in dB of full scale, from -100 on."""
    power = np.mean(frames**2, axis=1)
    found: NDArray[np.float64] = np.maximum(10 * np.log10(np.maximum(power, 1e-20)), FLOOR_DB)
    return found
