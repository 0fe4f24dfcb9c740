"""A service without a model, at the seam between routes and models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.audio.decode import decode_bytes, read_audio
from persona_ray.errors import ChannelError
from persona_ray.inference.clips import (
    CallRecognition,
    ClipInput,
    ClipRecognition,
    SentenceRecognition,
)
from persona_ray.serving.service import Answered, Recording, ServedModel
from persona_ray.types import NothingUsable, Recognition

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.types import Samples

LABELS = ("red", "blue", "yellow", "green")
SURE = {"red": 0.7, "blue": 0.2, "yellow": 0.06, "green": 0.04}
UNSURE = {"red": 0.3, "blue": 0.26, "yellow": 0.24, "green": 0.2}


class FakeService:
    """Says red of what is louder than silence; `before` may raise, or wait."""

    def __init__(self, hears: bool = True, reads: bool = True) -> None:
        self.served = ServedModel("persona", "3", LABELS, hears, reads, 16_000)
        self.before: Callable[[], Any] = lambda: None
        self.asked: list[Any] = []

    async def model(self) -> ServedModel:
        await self._before()
        return self.served

    async def clips(self, clips: Sequence[ClipInput]) -> Answered[list[ClipRecognition]]:
        await self._before()
        self.asked.append(clips)
        results = [ClipRecognition(_judged(clip), clip.text or "听到的话") for clip in clips]
        return Answered(results, self.served, {"judge": 0.01})

    async def call(self, recording: Recording) -> Answered[CallRecognition]:
        await self._before()
        self.asked.append(recording)
        if recording.data is None:
            audio = await asyncio.to_thread(read_audio, recording.uri)
        else:
            audio = await asyncio.to_thread(decode_bytes, recording.data, recording.name)
        if recording.channel >= audio.channels:
            raise ChannelError(f"{recording.name} has {audio.channels} channel(s)")
        found = _judged(ClipInput(audio.samples[recording.channel], audio.sample_rate_hz))
        sentences: tuple[SentenceRecognition, ...] = ()
        if isinstance(found, Recognition):
            sentences = (SentenceRecognition(0.5, 2.0, "听到的话", found),)
        return Answered(CallRecognition(found, sentences), self.served, {"hear": 0.2})

    async def utterance(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span]
    ) -> Answered[list[SentenceRecognition]]:
        raise NotImplementedError

    async def text(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> str:
        raise NotImplementedError

    async def _before(self) -> None:
        found = self.before()
        if asyncio.iscoroutine(found):
            await found


def _judged(clip: ClipInput) -> Recognition | NothingUsable:
    if clip.samples is not None and (len(clip.samples) == 0 or np.abs(clip.samples).max() < 1e-3):
        return NothingUsable("silence")
    return Recognition(UNSURE if clip.text == "嗯" else SURE, clips=1)
