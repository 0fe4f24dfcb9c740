"""The mouth makes each answer once, keeps a bounded number, and fails before any call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from persona_ray.config import RunConfig
from persona_ray.config.screening import DialogueConfig
from persona_ray.config.serving import ScaleConfig
from persona_ray.errors import SynthesisError
from persona_ray.inference.screening.mouth import VOICE, SpeakingMouth, build_mouth
from persona_ray.inference.screening.speaking import RobotSound, pieces, speak
from persona_ray.serving.deploy import parts
from persona_ray.serving.deploy.parts import PartsReplica
from persona_ray.serving.deploy.stages import Failed
from persona_ray.serving.screening.models import MOUTH, Models
from persona_ray.tts.base import Voice
from persona_ray.tts.tone import ToneSynthesizer

if TYPE_CHECKING:
    from persona_ray.types import Samples


class Counting:
    """Counts what it is asked for; refuses the texts in `broken`."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: set[str] = set()

    def synthesize(self, text: str, voice: Voice, speed: float) -> tuple[Samples, int]:
        self.asked.append(text)
        if text in self.broken:
            raise SynthesisError("broken")
        return ToneSynthesizer().synthesize(text, voice, speed)


def mouth_of(engine: Counting, kept: int = 10) -> SpeakingMouth:
    return SpeakingMouth(engine, VOICE, 1.0, kept)


def test_calls_that_want_the_same_share_one_synthesis() -> None:
    engine = Counting()
    mouth = mouth_of(engine)

    async def many() -> list[tuple[Samples, int]]:
        return await asyncio.gather(*(mouth.speak("您好") for _ in range(20)))

    spoken = asyncio.run(many())
    assert engine.asked == ["您好"]
    assert all(samples is spoken[0][0] for samples, _ in spoken)
    with pytest.raises(ValueError, match="read-only"):
        spoken[0][0][0] = 1.0


def test_the_oldest_unused_answer_is_forgotten() -> None:
    engine = Counting()
    mouth = mouth_of(engine, kept=2)

    async def talk() -> None:
        for text in ("一", "二", "一", "三", "一", "二"):
            await mouth.speak(text)

    asyncio.run(talk())
    assert engine.asked == ["一", "二", "三", "二"]


def test_a_failure_is_told_and_not_kept() -> None:
    engine = Counting()
    engine.broken.add("您好")
    mouth = mouth_of(engine)

    async def talk() -> Samples:
        with pytest.raises(SynthesisError):
            await mouth.speak("您好")
        engine.broken.clear()
        return (await mouth.speak("您好"))[0]

    assert np.abs(asyncio.run(talk())).max() > 0


def test_a_call_that_ends_takes_the_answer_from_nobody() -> None:
    engine = Counting()
    mouth = mouth_of(engine)

    async def talk() -> Samples:
        leaves = asyncio.create_task(mouth.speak("您好"))
        stays = asyncio.create_task(mouth.speak("您好"))
        await asyncio.sleep(0)
        leaves.cancel()
        return (await stays)[0]

    assert asyncio.run(talk()).size
    assert engine.asked == ["您好"]


def test_lines_are_spoken_ahead_as_far_as_they_are_kept() -> None:
    engine = Counting()
    engine.broken.add("二。")
    assert asyncio.run(mouth_of(engine, kept=3).prepare(["一。二。", "一。", "三", "四"])) == 2
    assert engine.asked == ["一。", "二。", "三"]


def test_a_replica_speaks_ahead_what_a_call_would_ask_for_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It would load a library that no mouth needs.
    monkeypatch.setattr(parts, "use_threads", lambda _: None)
    engine, config = Counting(), RunConfig()
    lines = ["您好，我是电话助理。请问您是哪位，有什么事？", "请再说一遍。"]

    def build(_config: RunConfig, _wanted: Collection[str]) -> Models:
        mouth = mouth_of(engine)
        return Models({}, mouth=mouth, prepare=partial(mouth.prepare, lines))

    async def talk() -> int:
        replica = PartsReplica(config, ScaleConfig(), build, (MOUTH,))
        while len(engine.asked) < sum(len(pieces(line)) for line in lines):
            await asyncio.sleep(0.001)
        made, begun = len(engine.asked), list[str]()
        for line in lines:
            await speak(1, line, DirectMouth(replica), _unheard, begun.append, 1.0)
        return made

    made = asyncio.run(asyncio.wait_for(talk(), 10.0))
    assert len(engine.asked) == made


class DirectMouth:
    """A replica's mouth, asked without a handle."""

    def __init__(self, replica: PartsReplica) -> None:
        self._replica = replica

    async def speak(self, text: str) -> tuple[Samples, int]:
        spoken = await self._replica.ask(MOUTH, "speak", (text,))
        assert not isinstance(spoken, Failed)
        # A call that is tested needs no time.
        return spoken[0][:1], spoken[1]


async def _unheard(sound: RobotSound) -> None:
    del sound


def test_a_mouth_without_its_engine_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(SynthesisError, match=r"espeak: .*apt-get install espeak-ng.*kokoro"):
        build_mouth(DialogueConfig(voice="espeak"))
    with pytest.raises(SynthesisError, match="npm pack kokoro-js"):
        build_mouth(DialogueConfig(voice="kokoro"))


def test_a_tone_speaks_anywhere() -> None:
    samples, rate_hz = asyncio.run(build_mouth(DialogueConfig(voice="tone")).speak("您好。"))
    assert 0.3 < samples.size / rate_hz < 2
