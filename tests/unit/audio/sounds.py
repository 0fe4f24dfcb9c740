"""Sounds and files that the tests of this room share."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE_HZ = 8000
# Name -> libsndfile container, coding, largest error a sample may have after the way there and
# back (full scale 1); None where the coder is lossy and only the level can be compared.
FORMATS: dict[str, tuple[str, str, float | None]] = {
    "wav": ("WAV", "PCM_16", 2e-4),
    "wav24": ("WAV", "PCM_24", 1e-6),
    "wav8": ("WAV", "PCM_U8", 1e-2),
    "wavfloat": ("WAV", "FLOAT", 0.0),
    "wavex": ("WAVEX", "PCM_16", 2e-4),
    "rf64": ("RF64", "PCM_16", 2e-4),
    "mulaw": ("WAV", "ULAW", 0.03),
    "alaw": ("WAV", "ALAW", 0.03),
    "flac": ("FLAC", "PCM_16", 2e-4),
    "vorbis": ("OGG", "VORBIS", None),
    "opus": ("OGG", "OPUS", None),
    "mp3": ("MP3", "MPEG_LAYER_III", None),
}


def stereo(seconds: float = 2.0, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    """Samples (2, n): two different voiced-like sounds, the second at half the level."""
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    envelope = 0.5 + 0.4 * np.sin(2 * np.pi * 3 * time_s)
    one = sum(np.sin(2 * np.pi * 140 * k * time_s) / k for k in range(1, 9))
    two = sum(np.sin(2 * np.pi * 210 * k * time_s + k) / k for k in range(1, 7))
    sound = np.stack([0.3 * envelope * one, 0.15 * envelope * two])
    return np.asarray(sound, dtype=np.float32)


def encoded(samples: NDArray[np.float32], name: str, rate_hz: int = RATE_HZ) -> bytes:
    """A whole file of samples (channels, n) in the format `name`."""
    container, coding, _ = FORMATS[name]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, rate_hz, format=container, subtype=coding)
    return buffer.getvalue()


@cache
def sample_file(name: str) -> bytes:
    return encoded(stereo(), name)
