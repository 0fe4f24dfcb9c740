"""What happens to a spoken sentence on its way into a telephone recording.

All samples are mono float32 (samples,) unless said otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.resample import resample
from persona_ray.synth.speakers import Prosody

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

_FRAME_S = 0.005
_SILENCE_DB = -38.0  # below the loudest frames: silence
_PAUSE_S = 0.04  # shorter silences are closures of consonants, not pauses
_BAND_HZ = (300.0, 3400.0)
_SPEECH_DBFS = -24.0
_PEAK = 0.97


def trim(samples: Samples, rate_hz: int) -> Samples:
    """`samples` without the silence around the speech, to one frame of 5 ms."""
    loud = _loud_frames(samples, rate_hz)
    where = np.flatnonzero(loud)
    if where.size == 0:
        return samples[:0]
    step = round(_FRAME_S * rate_hz)
    return samples[where[0] * step : (where[-1] + 1) * step]


def widen_pause(samples: Samples, rate_hz: int, extra_s: float) -> Samples:
    """`extra_s` more silence in the longest pause inside; unchanged where there is no pause."""
    loud = _loud_frames(samples, rate_hz)
    edges = np.flatnonzero(np.diff(np.concatenate([[1], loud.astype(np.int8), [1]])))
    starts, ends = edges[::2], edges[1::2]
    if starts.size == 0:
        return samples
    longest = int(np.argmax(ends - starts))
    if (ends[longest] - starts[longest]) * _FRAME_S < _PAUSE_S:
        return samples
    middle = int((starts[longest] + ends[longest]) / 2 * _FRAME_S * rate_hz)
    gap = np.zeros(round(extra_s * rate_hz), np.float32)
    return np.concatenate([samples[:middle], gap, samples[middle:]])


def telephone(samples: Samples, rate_hz: int, effort_db: float) -> Samples:
    """The telephone band, highs raised against lows by `effort_db` from 300 to 3400 Hz."""
    if samples.size == 0:
        return samples
    pad = round(0.05 * rate_hz)
    spectrum = np.fft.rfft(np.concatenate([samples, np.zeros(pad, np.float32)]))
    hz = np.fft.rfftfreq(samples.size + pad, 1 / rate_hz)
    low, high = _BAND_HZ
    octaves = np.log2(np.clip(hz, low, high) / np.sqrt(low * high)) / np.log2(high / low)
    # Fourth-order Butterworth magnitudes, zero phase, so that borders do not move.
    band = 1 / np.sqrt(1 + (low / np.maximum(hz, 1)) ** 8) / np.sqrt(1 + (hz / high) ** 16)
    shaped = np.fft.irfft(spectrum * band * 10 ** (effort_db * octaves / 20), samples.size + pad)
    return np.asarray(shaped[: samples.size], dtype=np.float32)


def at_level(samples: Samples, rate_hz: int, level_db: float) -> Samples:
    """Speech at `level_db` above the archive's usual level; peaks kept under full scale."""
    rms = speech_rms(samples, rate_hz)
    if rms == 0.0:
        return samples
    scaled = samples * (10 ** ((_SPEECH_DBFS + level_db) / 20) / rms)
    peak = float(np.abs(scaled).max())
    return np.asarray(scaled * min(1.0, _PEAK / peak), dtype=np.float32)


def deliver(samples: Samples, from_hz: int, to_hz: int, prosody: Prosody) -> Samples:
    """A spoken sentence as it sounds on the line: its first and last samples are speech."""
    line = resample(samples, from_hz, to_hz)
    line = widen_pause(trim(line, to_hz), to_hz, prosody.pause_s)
    return at_level(trim(telephone(line, to_hz, prosody.effort_db), to_hz), to_hz, prosody.level_db)


def line_noise(rng: np.random.Generator, count: int, dbfs: float) -> Samples:
    """Pink-ish noise (count,) at `dbfs` RMS."""
    spectrum = rng.standard_normal(count // 2 + 1) + 1j * rng.standard_normal(count // 2 + 1)
    spectrum /= np.sqrt(np.arange(count // 2 + 1) + 20)
    noise = np.fft.irfft(spectrum, count)
    rms = float(np.sqrt(np.mean(noise**2))) or 1.0
    return np.asarray(noise * (10 ** (dbfs / 20) / rms), dtype=np.float32)


def speech_rms(samples: Samples, rate_hz: int) -> float:
    """RMS of the loud frames of `samples`; 0 where there are none."""
    loud = np.repeat(_loud_frames(samples, rate_hz), round(_FRAME_S * rate_hz))[: samples.size]
    return float(np.sqrt(np.mean(samples[: loud.size][loud] ** 2))) if loud.any() else 0.0


def _loud_frames(samples: Samples, rate_hz: int) -> NDArray[np.bool_]:
    """(frames,) of 5 ms: louder than silence, measured from the 95th percentile."""
    step = round(_FRAME_S * rate_hz)
    frames = samples[: samples.size // step * step].reshape(-1, step)
    if frames.shape[0] == 0:
        return np.zeros(0, np.bool_)
    power_db = 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-12)
    top = float(np.percentile(power_db, 95))
    if top < -90:
        return np.zeros(frames.shape[0], np.bool_)
    return np.asarray(power_db > top + _SILENCE_DB, dtype=np.bool_)
