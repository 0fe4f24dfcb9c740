"""Sounds of calls for the tests of live calls."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from persona_ray.audio.decode import read_audio
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config.corpus import VadConfig
from tests.conftest import REPOSITORY

RATE_HZ = 8000


class LoudIsSpeech(VoiceActivity):
    """Voice activity that takes what is loud for speech; what it remembers is how much it heard."""

    def frames(
        self, samples: NDArray[np.float32], rate_hz: int, state: Any
    ) -> tuple[NDArray[np.float32], Any]:
        width, context = rate_hz * 32 // 1000, rate_hz * 4 // 1000
        count = max(0, len(samples) - context) // width
        frames = samples[context : context + count * width].reshape(count, width)
        state = state + np.float32(count)
        # A little of the past shows, so that a wrong one is seen.
        faint = 1e-4 * (state.flat[0] - np.arange(count, 0, -1))
        return np.clip(np.abs(frames).max(axis=1, initial=0.0) * 2 + faint, 0, 1), state


def loud_voice(config: VadConfig | None = None) -> LoudIsSpeech:
    return LoudIsSpeech(config or VadConfig())


def talk(*parts: tuple[float, float]) -> NDArray[np.float32]:
    """Pairs of (seconds of speech, seconds of silence after it) -> sound (n,) at 8 kHz."""
    rng = np.random.default_rng(7)
    out: list[np.ndarray] = [np.zeros(RATE_HZ // 2, np.float32)]
    for speech_s, silence_s in parts:
        noise = rng.uniform(-0.6, 0.6, round(speech_s * RATE_HZ))
        noise[::50] = 0.6
        out += [noise, np.zeros(round(silence_s * RATE_HZ))]
    return np.concatenate(out).astype(np.float32)


@cache
def recorded(name: str = "2026-02/K00046.ogg", channel: int = 1) -> NDArray[np.float32]:
    """The customer's side of a call of the shipped archive, (n,) at 8 kHz."""
    audio = read_audio(name, str(REPOSITORY / "demo/archive/audio"))
    assert audio.sample_rate_hz == RATE_HZ
    return np.ascontiguousarray(audio.samples[channel])
