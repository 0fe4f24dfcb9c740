"""Speech recognition of a caller's turns, by the recogniser of the configuration."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

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


def build_ears(config: RunConfig, workers: int) -> HearingEars:
    """The recogniser of `asr`, loaded."""
    ears = HearingEars(Hearing(config), f"{config.asr.engine} {config.asr.model}", workers)
    ears.warm(config.audio.sample_rate_hz)
    return ears
