# ruff: noqa: ARG002
"""Services that answer at once, late, wrong or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.audio.vad import Span
from persona_ray.config.serving import RolloutConfig
from persona_ray.errors import RecognitionError
from persona_ray.inference.clips import (
    CallRecognition,
    ClipInput,
    ClipRecognition,
    SentenceRecognition,
)
from persona_ray.serving.rollout.service import RolloutService
from persona_ray.serving.rollout.verdict import Counts
from persona_ray.serving.service import Answered, Recording, ServedModel
from persona_ray.store import Store
from persona_ray.types import NothingUsable, Recognition

if TYPE_CHECKING:
    from persona_ray.types import Samples

SILENCE = np.zeros(8000, dtype=np.float32)
SPEECH = (Span(0.0, 1.0),)
CLIP = ClipInput(SILENCE, 8000, "你好")
COLOURS = ("red", "blue", "yellow", "green")


def colour(name: str) -> Recognition | NothingUsable:
    """Of that name; empty: none."""
    if not name:
        return NothingUsable("silence")
    return Recognition({label: 0.7 if label == name else 0.1 for label in COLOURS}, clips=1)


class FakeService:
    """`colours` in turn, after `delay_s`; raises what `fails` gives for a request's number."""

    def __init__(
        self,
        version: str,
        colours: Sequence[str] = ("red",),
        delay_s: float = 0.0,
        fails: Callable[[int], Exception | None] = lambda _number: None,
    ) -> None:
        self.version = version
        self.colours = colours
        self.delay_s = delay_s
        self.fails = fails
        self.asked = 0
        self.under_way = 0
        self.most_under_way = 0

    async def model(self) -> ServedModel:
        return ServedModel("persona", self.version, COLOURS, True, True, 16000)

    async def clips(self, clips: Sequence[ClipInput]) -> Answered[list[ClipRecognition]]:
        name = await self._next()
        return Answered([ClipRecognition(colour(name), c.text) for c in clips], await self.model())

    async def call(self, recording: Recording) -> Answered[CallRecognition]:
        name = await self._next()
        return Answered(CallRecognition(colour(name), ()), await self.model())

    async def utterance(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span]
    ) -> Answered[list[SentenceRecognition]]:
        name = await self._next()
        found = [SentenceRecognition(s.start_s, s.end_s, "", colour(name)) for s in speech]
        return Answered(found, await self.model())

    async def text(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> str:
        return f"text of {self.version}"

    async def _next(self) -> str:
        number = self.asked
        self.asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            error = self.fails(number)
            if error is not None:
                raise error
            return self.colours[number % len(self.colours)]
        finally:
            self.under_way -= 1


def failing(_number: int) -> Exception:
    return RecognitionError("the challenger is broken")


def run(
    store: Store,
    champion: FakeService,
    challenger: FakeService,
    use: Callable[[RolloutService], Awaitable[Any]],
    timeout_s: float = 60.0,
    **config: float,
) -> Counts:
    """What was counted after `use` of a service that knows what the others decided."""

    async def body() -> Counts:
        service = RolloutService(
            champion, challenger, store.rollouts, RolloutConfig(**config), timeout_s, seed=7
        )
        await service.sync()
        await use(service)
        await service.settle()
        counts = service.ledger.counts
        await service.close()
        return counts

    return asyncio.run(body())
