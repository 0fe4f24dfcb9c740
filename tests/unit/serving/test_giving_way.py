"""Partial texts are written down by a recogniser that has nothing else to do."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import numpy as np
import pytest

from persona_ray.audio.vad import Span
from persona_ray.config import load_config
from persona_ray.errors import ServiceBusyError
from persona_ray.inference.clips import ClipInput
from persona_ray.serving.deploy import deployments
from persona_ray.serving.deploy.stages import Failed, Heard

SOUND, SPEECH = np.zeros(800, np.float32), [Span(0.0, 0.1)]
CLIP = ClipInput(SOUND, 8000, "你好")


class SlowHearing:
    """A sentence takes until it is told to end."""

    begun, end = Event(), Event()

    def __init__(self, config: object, decoder: object) -> None:
        del config, decoder
        self.begun.clear()
        self.end.clear()

    def find(self, *_: Any) -> None: ...

    def for_model(self, _: bool) -> SlowHearing:
        return self

    def clip(self, clip: ClipInput) -> ClipInput:
        self.begun.set()
        assert self.end.wait(20)
        return clip

    def text(self, *_: Any) -> str:
        return "喂"


@pytest.fixture
def asr(monkeypatch: pytest.MonkeyPatch) -> deployments.Asr:
    monkeypatch.setattr(deployments, "Hearing", SlowHearing)
    return deployments.Asr(load_config(None), workers=4, warm=False)


async def partial(asr: deployments.Asr) -> str | Failed:
    return await asr.text(SOUND, 8000, SPEECH)


async def free(asr: deployments.Asr) -> str | Failed:
    """The first partial text that was not sent away."""
    while isinstance(found := await partial(asr), Failed):
        await asyncio.sleep(0.01)
    return found


def test_a_partial_text_gives_way_to_a_sentence(asr: deployments.Asr) -> None:
    async def run() -> None:
        assert await partial(asr) == "喂"
        sentence = asyncio.create_task(asr.clips([CLIP], True))
        await asyncio.to_thread(SlowHearing.begun.wait, 20)
        refused = await partial(asr)
        assert isinstance(refused, Failed)
        assert isinstance(refused.error, ServiceBusyError)
        SlowHearing.end.set()
        assert isinstance(await sentence, Heard)
        assert await free(asr) == "喂"

    asyncio.run(asyncio.wait_for(run(), 30))


def test_who_leaves_does_not_free_the_recogniser(asr: deployments.Asr) -> None:
    async def run() -> None:
        sentence = asyncio.create_task(asr.clips([CLIP], True))
        await asyncio.to_thread(SlowHearing.begun.wait, 20)
        sentence.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sentence
        assert isinstance(await partial(asr), Failed)
        SlowHearing.end.set()
        assert await free(asr) == "喂"

    asyncio.run(asyncio.wait_for(run(), 30))
