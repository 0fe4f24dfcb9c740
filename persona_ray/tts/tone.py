"""Tones instead of speech: the seam for tests that need timing, level and pitch, no words."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.tts.base import Voice

if TYPE_CHECKING:
    from persona_ray.types import Samples

_RATE_HZ = 16_000
_CHARACTER_S = 0.2
_BREAK_S = 0.18
_BREAKS = "，。？！,.?!"
_PITCH_HZ = {"female": 220.0, "male": 120.0}


class ToneSynthesizer:
    """One harmonic tone per character, silence per punctuation mark. Same input, same samples."""

    name = "tone-1"

    def synthesize(self, text: str, voice: Voice, speed: float) -> tuple[Samples, int]:
        """The pitch follows the voice's sex and ratio; each character bends it a little."""
        base_hz = _PITCH_HZ[voice.sex] * voice.pitch
        pieces = [self._piece(character, base_hz, speed) for character in text]
        return np.concatenate([np.zeros(0, np.float32), *pieces]), _RATE_HZ

    @staticmethod
    def _piece(character: str, base_hz: float, speed: float) -> Samples:
        if character in _BREAKS:
            return np.zeros(round(_BREAK_S / speed * _RATE_HZ), np.float32)
        count = round(_CHARACTER_S / speed * _RATE_HZ)
        seconds = np.arange(count) / _RATE_HZ
        bend = 1 + 0.1 * (zlib.crc32(character.encode()) % 100 / 50 - 1)
        tone = sum(np.sin(2 * np.pi * base_hz * bend * k * seconds) / k for k in range(1, 9))
        # A short fade keeps the borders of a character free of clicks.
        fade = np.minimum(1, np.minimum(seconds, seconds[::-1]) / 0.01)
        return np.asarray(0.15 * tone * fade, dtype=np.float32)
