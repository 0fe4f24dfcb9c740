"""What is said and how it sounds, by the recogniser of the configuration."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.asr.build import build_recognizer
from persona_ray.asr.lazy import LazyRecognizer
from persona_ray.audio.prosody import prosody
from persona_ray.audio.vad import Span
from persona_ray.inference.assist.hearing import Heard

if TYPE_CHECKING:
    from persona_ray.asr.base import Recognizer
    from persona_ray.config import RunConfig
    from persona_ray.types import Samples


class RecognizerEars:
    """Implements the seam `Ears`; `workers` stretches at once share the recogniser."""

    def __init__(self, recognizer: Recognizer, workers: int = 1) -> None:
        self._recognizer = recognizer
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ears")

    @property
    def name(self) -> str:
        return self._recognizer.name

    async def hear(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Heard:
        """See Ears. What is given up before its turn is not begun."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.heard, samples, rate_hz, speech)

    def heard(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Heard:
        """The same, in this thread."""
        words = self._recognizer.transcribe(samples, rate_hz, speech).words if speech else ()
        sound, sounds = prosody(samples, rate_hz, speech, words)
        return Heard(words, sounds, sound)

    def warm(self, rate_hz: int) -> None:
        """Load what the first call would wait for. Raises EngineUnavailableError."""
        second = np.zeros(rate_hz, dtype=np.float32)
        self.heard(second, rate_hz, (Span(0.0, 1.0),))


def build_ears(config: RunConfig) -> RecognizerEars:
    """The recogniser of `asr`, loaded: as many stretches at once as this machine has processors
    for, because both sides of a call may end at the same moment."""
    at_once = max(1, len(os.sched_getaffinity(0)) // max(1, config.asr.threads))
    recognizer = LazyRecognizer(config.asr, partial(build_recognizer, at_once=at_once))
    ears = RecognizerEars(recognizer, at_once)
    ears.warm(config.audio.sample_rate_hz)
    return ears
