"""A call whose caller, line and parts are played, on a clock that does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.screening_fakes import RATE_HZ, VirtualLoop
from persona_ray.config.screening import ScreeningConfig
from persona_ray.inference.screening import steps
from persona_ray.inference.screening.call import Event, ScreeningCall
from persona_ray.inference.screening.records import (
    CategoryJudgement,
    Channel,
    Known,
    LineKind,
    NotEnoughSpeech,
    NotListed,
    Turn,
    Verdict,
    VoiceUnknown,
    VoiceVerdict,
)
from persona_ray.inference.screening.speaking import RobotSound
from persona_ray.inference.screening.voice_so_far import CallerSound
from tests.unit.inference.screening.played import CALL

LONG = "您好，我是电话助理，请问您是哪位，找机主有什么事情？请您慢慢讲，我在听。"


class Parts:
    """All seams of one call; each can be made slow, or to raise."""

    def __init__(self) -> None:
        self.sources = self.voices = self.ears = self.categories = self
        self.robot = self.lines = self.mouth = self
        self.asked: list[str] = []
        self.takes_s: dict[str, float] = {}
        self.raises: set[str] = set()
        self.voice: VoiceVerdict = VoiceUnknown(0.2)
        self.judgement: Any = CategoryJudgement({"promotion": 0.6, "other": 0.4}, 1, "m 1")

    async def _do(self, name: str) -> None:
        self.asked.append(name)
        await asyncio.sleep(self.takes_s.get(name, 0.0))
        if name in self.raises:
            raise OSError(f"{name} is away")

    async def look_up(self, _: Any) -> Known | NotListed:
        await self._do("sources")
        return NotListed()

    async def whose(self, samples: Any, rate_hz: int, channel: Channel) -> VoiceVerdict:
        await self._do("voices")
        assert channel is Channel.TELEPHONE
        speech_s = len(samples) / rate_hz
        return self.voice if speech_s >= 3 else NotEnoughSpeech(speech_s, 3.0)

    async def text(self, _samples: Any, _rate_hz: int) -> str:
        await self._do("ears")
        return "喂"

    async def judge(self, _: Sequence[Turn]) -> CategoryJudgement:
        await self._do("categories")
        found: CategoryJudgement = self.judgement
        return found

    async def answer(self, _turns: Sequence[Turn], _judgement: CategoryJudgement | None) -> str:
        await self._do("robot")
        return "请讲。"

    def line(self, kind: LineKind, _: Sequence[Turn]) -> str:
        self.asked.append(f"line {kind}")
        if "lines" in self.raises:
            raise OSError("no set")
        return LONG if kind is LineKind.OPENING else f"{kind}。"

    async def speak(self, text: str) -> tuple[Any, int]:
        await self._do("mouth")
        return np.zeros(round(len(text) * 0.2 * RATE_HZ), dtype=np.float32), RATE_HZ


class Phone:
    """A line that remembers, on the loop's clock."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.frames: list[tuple[float, RobotSound]] = []
        self.cleared: list[float] = []
        self.states: list[Mapping[str, Any]] = []
        self.gone = self.superseded = False
        self.keeping_s = 0.0

    @staticmethod
    def now_s() -> float:
        return asyncio.get_running_loop().time()

    async def play(self, sound: RobotSound) -> None:
        self._there()
        self.frames.append((self.now_s(), sound))

    async def clear(self) -> None:
        self._there()
        self.cleared.append(self.now_s())

    async def tell(self, event: Event) -> None:
        self._there()
        self.events.append(event)

    async def keep(self, state: Mapping[str, Any]) -> None:
        if self.superseded:
            raise RuntimeError("another replica has the call")
        self.states.append(state)
        await asyncio.sleep(self.keeping_s)

    def _there(self) -> None:
        if self.gone:
            raise ConnectionError("gone")

    def said(self) -> list[str]:
        return [one.text for one in self.events if isinstance(one, steps.Say)]


Course = Callable[[ScreeningCall, Phone], Awaitable[None]]


def play(
    course: Course,
    parts: Parts | None = None,
    phone: Phone | None = None,
    config: ScreeningConfig | None = None,
    **options: Any,
) -> tuple[Verdict, Phone, Parts]:
    """A call on a clock that does not wait; `course` is what the caller does."""
    parts, phone = parts or Parts(), phone or Phone()

    async def whole() -> Verdict:
        call = ScreeningCall(CALL, parts, phone, config or ScreeningConfig(), **options)
        run = asyncio.ensure_future(call.run())
        caller = asyncio.ensure_future(course(call, phone))
        try:
            verdict = await run
        finally:
            caller.cancel()
        # Nothing is left behind.
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return verdict

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        verdict = runner.run(whole())
    return verdict, phone, parts


def sound(seconds: float, start_s: float = 0.0) -> CallerSound:
    samples = np.zeros(round(seconds * RATE_HZ), dtype=np.float32)
    return CallerSound(samples, RATE_HZ, start_s, start_s + seconds, seconds)


async def silent(_call: ScreeningCall, _phone: Phone) -> None:
    """Says nothing at all."""
