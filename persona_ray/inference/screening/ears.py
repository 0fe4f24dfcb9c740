"""Speech recognition of a caller's turns, by the recogniser of the configuration."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.asr.build import build_recognizer
from persona_ray.asr.lazy import LazyRecognizer
from persona_ray.audio.vad import Span
from persona_ray.inference.hearing import Hearing

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.types import Samples


class HearingEars:
    """Implements the seam `Ears`; `workers` turns at once share the recogniser."""

    def __init__(self, hearing: Hearing, name: str, workers: int) -> None:
        self.name = name
        self._hearing = hearing
        self._pool = ThreadPoolExecutor(workers)

    async def text(self, samples: Samples, rate_hz: int) -> str:
        """What is said in samples (n,). Raises RecognitionError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._hearing.text, samples, rate_hz)

    def warm(self, rate_hz: int) -> None:
        """Load what the first caller would wait for."""
        second = np.zeros(rate_hz, dtype=np.float32)
        self._hearing.find(second, rate_hz)
        self._hearing.text(second, rate_hz, [Span(0.0, 1.0)])


def build_ears(config: RunConfig) -> HearingEars:
    """The recogniser of `asr`, loaded: as many turns at once as this machine has processors for.
    Callers who end at the same moment would wait for each other otherwise."""
    at_once = max(1, len(os.sched_getaffinity(0)) // max(1, config.asr.threads))
    hearing = Hearing(
        config, recognizer=LazyRecognizer(config.asr, partial(build_recognizer, at_once=at_once))
    )
    ears = HearingEars(hearing, f"{config.asr.engine} {config.asr.model}", at_once)
    ears.warm(config.audio.sample_rate_hz)
    return ears
