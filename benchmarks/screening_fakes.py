"""Callers and parts for simulated screened calls, and a clock that does not wait.

Every sound carries whose call it belongs to, and every text does. A part that is given sounds or
turns of two calls raises `MixedError`, and remembers it: to the call it is a part's failure.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import selectors
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from persona_ray.inference.screening.records import (
    CallEvent,
    CategoryJudgement,
    Channel,
    Known,
    LineKind,
    NotEnoughSpeech,
    NotListed,
    Origin,
    Speaker,
    Standing,
    Turn,
    VoiceMatch,
    VoiceUnknown,
    VoiceVerdict,
)

if TYPE_CHECKING:
    from persona_ray.types import Samples

RATE_HZ = 8000
CHARACTERS_PER_S = 5.0
ILLEGAL, WANTED, ABNORMAL = "account_fraud", "delivery", "promotion"
_CODE = re.compile(r"^来电(\d+)第(\d+)句")
_T = TypeVar("_T")


class MixedError(Exception):
    """The state of one call was found in another: the simulation has failed."""

    seen: ClassVar[list[str]] = []

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.seen.append(what)


class _Skipping(selectors.SelectSelector):
    """Does not wait: time is moved on to what is due next."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nobody will ever do anything again: a call is left in silence")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Real asyncio on a clock of its own; nothing may be done in threads."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now_s


@dataclass(frozen=True, slots=True)
class Scenario:
    """One call: `odds` (turns,) is the log-odds of fraud that the category model will find;
    `known` what the number is, `voice` whose voice."""

    number: int
    category: str
    odds: tuple[float, ...]
    known: Known | NotListed
    voice: VoiceVerdict
    chatty: int

    @property
    def event(self) -> CallEvent:
        return CallEvent(
            f"call-{self.number}",
            f"user-{self.number}",
            f"+86139{self.number:08d}",
            datetime(2026, 1, 1, tzinfo=UTC),
        )

    def text(self, turn: int) -> str:
        return f"来电{self.number}第{turn}句"

    @property
    def illegal(self) -> bool:
        return self.category == ILLEGAL


def scenario(number: int, seed: int) -> Scenario:
    """The same for the same `number` and `seed`."""
    rng = random.Random(f"{seed}/{number}")
    category = rng.choices((ILLEGAL, ABNORMAL, WANTED, "personal"), (4, 3, 2, 2))[0]
    sign = 1 if category == ILLEGAL else -1
    odds, now = [], rng.gauss(-0.5, 0.5)
    for _ in range(12):
        now += rng.gauss(sign * 0.8, 1.25)
        odds.append(now)
    known: Known | NotListed = NotListed()
    if rng.random() < 0.15:
        standing = rng.choice(list(Standing))
        known = Known(
            f"+86139{number:08d}", standing, "", f"name {number}", "", Origin.REPORTS, None
        )
    voice: VoiceVerdict = VoiceUnknown(rng.uniform(0.1, 0.5))
    if category == ILLEGAL and rng.random() < 0.2:
        voice = VoiceMatch(f"voice-{number}", ILLEGAL, Standing.ILLEGAL, 0.9, 0.3)
    elif category == ABNORMAL and rng.random() < 0.2:
        voice = VoiceMatch(f"voice-{number}", ABNORMAL, Standing.ABNORMAL, 0.85, 0.2)
    return Scenario(number, category, tuple(odds), known, voice, rng.randint(1, 9))


def sound_of(number: int, turn: int, seconds: float) -> Samples:
    """Samples (n,) that carry the call and the turn, exactly."""
    samples = np.zeros(max(2, round(seconds * RATE_HZ)), dtype=np.float32)
    samples[0::2], samples[1::2] = number / 4096, turn / 4096
    return samples


def call_of(samples: Samples) -> tuple[int, int]:
    """The call and the last turn of a sound; MixedError where it is of two calls."""
    # A concatenation may begin anywhere: even places hold calls, where every part is even.
    numbers = set(np.unique(samples[0::2]).tolist())
    if len(numbers) != 1:
        raise MixedError(f"sound of calls {sorted(numbers)}")
    return round(numbers.pop() * 4096), round(float(samples[-1]) * 4096)


def callers(turns: Sequence[Turn]) -> tuple[int, int]:
    """The call that turns belong to, and how many are the caller's."""
    said = [turn.text for turn in turns if turn.speaker is Speaker.CALLER]
    found = {int(match[1]) for text in said if (match := _CODE.match(text))}
    if len(found) != 1:
        raise MixedError(f"turns of calls {sorted(found)}")
    return found.pop(), len(said)


class Trouble:
    """Delays and failures: a part answers late, not at all, or with an error."""

    def __init__(self, seed: int, failing: float, hanging: float) -> None:
        self._rng = random.Random(seed)
        self._failing, self._hanging = failing, hanging

    async def answer(self, mean_s: float, found: _T) -> _T:
        luck = self._rng.random()
        if luck < self._hanging:
            await asyncio.Event().wait()
        await asyncio.sleep(min(self._rng.expovariate(1 / mean_s), 20 * mean_s))
        if luck < self._hanging + self._failing:
            raise OSError("a part is away")
        return found


class FakeParts:
    """All seams, for all calls at once, as replicas serve them."""

    def __init__(self, scenarios: Sequence[Scenario], trouble: Trouble) -> None:
        self._of = {one.number: one for one in scenarios}
        self._trouble = trouble
        self.sources = self.voices = self.ears = self.categories = self
        self.robot = self.lines = self.mouth = self

    def look_up(self, call: CallEvent) -> Coroutine[Any, Any, Known | NotListed]:
        return self._trouble.answer(0.05, self._of[int(call.call_id.split("-")[1])].known)

    def whose(
        self, samples: Samples, rate_hz: int, channel: Channel
    ) -> Coroutine[Any, Any, VoiceVerdict]:
        assert channel is Channel.TELEPHONE
        number, _ = call_of(samples)
        speech_s = len(samples) / rate_hz
        found: VoiceVerdict = self._of[number].voice
        if speech_s < 3.0:
            found = NotEnoughSpeech(speech_s, 3.0)
        return self._trouble.answer(0.15, found)

    def text(self, samples: Samples, rate_hz: int) -> Coroutine[Any, Any, str]:
        assert rate_hz == RATE_HZ
        number, turn = call_of(samples)
        return self._trouble.answer(0.4, self._of[number].text(turn) if turn else "")

    def judge(self, turns: Sequence[Turn]) -> Coroutine[Any, Any, CategoryJudgement]:
        number, count = callers(turns)
        case = self._of[number]
        illegal = 1 / (1 + math.exp(-case.odds[min(count, len(case.odds)) - 1]))
        other = case.category if not case.illegal else "other"
        return self._trouble.answer(
            0.1,
            CategoryJudgement({ILLEGAL: illegal, other: 1 - illegal}, count, "fake 1"),
        )

    def answer(
        self, turns: Sequence[Turn], judgement: CategoryJudgement | None
    ) -> Coroutine[Any, Any, str]:
        number, _ = callers(turns)
        assert judgement is None or judgement.model == "fake 1"
        return self._trouble.answer(0.05, f"答复{number}，您请接着说，我在听。还有什么事情吗？")

    def line(self, kind: LineKind, turns: Sequence[Turn]) -> str:
        if any(turn.speaker is Speaker.CALLER for turn in turns):
            callers(turns)
        return {LineKind.OPENING: "您好，请问您是哪位？", LineKind.GOODBYE: "好的，再见。"}.get(
            kind, "请您再说一遍。"
        )

    def speak(self, text: str) -> Coroutine[Any, Any, tuple[Samples, int]]:
        found = re.match(r"^答复(\d+)", text)
        sound = sound_of(int(found[1]) if found else 0, 0, len(text) / CHARACTERS_PER_S)
        return self._trouble.answer(0.1, (sound, RATE_HZ))
