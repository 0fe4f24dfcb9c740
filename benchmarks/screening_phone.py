"""The line of a simulated screened call and the caller at its other end; what is found of it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.screening_fakes import RATE_HZ, MixedError, Scenario, call_of, sound_of
from persona_ray.inference.screening import steps
from persona_ray.inference.screening.call import ScreeningCall
from persona_ray.inference.screening.records import LineKind, Verdict
from persona_ray.inference.screening.speaking import RobotSound
from persona_ray.inference.screening.voice_so_far import CallerSound

if TYPE_CHECKING:
    from persona_ray.inference.screening.call import Event


@dataclass(slots=True)
class Found:
    """Of one call."""

    case: Scenario
    verdict: Verdict | None = None
    verdicts: int = 0
    killed: bool = False
    caller_turns: int = 0
    stops_s: list[float] = field(default_factory=list)
    longest_silence_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    began_s: float = 0.0
    ended_s: float = 0.0


class Phone:
    """The line and the caller at its other end."""

    def __init__(self, case: Scenario, seed: int) -> None:
        self.found = Found(case)
        self.call: ScreeningCall | None = None
        self.kept: Mapping[str, Any] | None = None
        self.over = asyncio.Event()
        self._picked_up = asyncio.Event()
        self._rng = random.Random(f"{seed}/phone/{case.number}")
        self._clock = asyncio.get_running_loop().time
        self._saying = self._stopped_saying = self._interrupted_saying = 0
        self._interrupted_s, self._interrupts = 0.0, False
        self._sounded_s = self._alive_s = self._clock()
        self._users: set[asyncio.Task[None]] = set()

    # --- the line ------------------------------------------------------------------------------

    async def play(self, sound: RobotSound) -> None:
        number, _ = call_of(sound.samples)
        if number not in (0, self.found.case.number):
            raise MixedError(f"call {self.found.case.number} hears call {number}")
        self._wants(self.found.verdicts == 0, "sound after the verdict")
        self._wants(sound.saying != self._stopped_saying, "sound of a saying that was stopped")
        self._alive()
        self._saying, self._sounded_s = sound.saying, self._clock()
        if sound.saying == self._interrupted_saying and self._interrupts:
            self.found.stops_s[-1] = self._clock() - self._interrupted_s

    async def clear(self) -> None:
        self._stopped_saying = self._saying

    def _wants(self, holds: bool, otherwise: str) -> None:
        """Remembered: what a line raises is a caller who has left."""
        if not holds:
            self.found.wrong.append(otherwise)

    async def tell(self, event: Event) -> None:
        self._wants(self.found.verdicts == 0, "an event after the verdict")
        self._alive()
        match event:
            case steps.PickUp():
                self._picked_up.set()
            case steps.Say(saying, line):
                # The robot does not let itself be interrupted in its goodbye.
                if line is LineKind.GOODBYE:
                    self._interrupted_saying, self._interrupts = saying, False
            case steps.AskUser():
                self._users.add(asyncio.ensure_future(self._user()))
            case steps.Pass() | steps.Reject() | steps.HangUp() | steps.EndCall():
                self.over.set()
            case steps.Conclude(verdict):
                self.concluded(verdict)

    async def keep(self, state: Mapping[str, Any]) -> None:
        self.kept = json.loads(json.dumps(state, allow_nan=False))

    def concluded(self, verdict: Verdict) -> None:
        self.found.verdict = verdict
        self.found.verdicts += 1
        self.over.set()

    def _alive(self) -> None:
        """Somebody spoke, or something happened."""
        now_s = self._clock()
        if self._picked_up.is_set() and not self.over.is_set():
            silent_s = now_s - self._alive_s
            self.found.longest_silence_s = max(self.found.longest_silence_s, silent_s)
        self._alive_s = now_s

    async def _user(self) -> None:
        await asyncio.sleep(self._rng.uniform(1, 15))
        if self.call is not None and self._rng.random() < 0.6:
            self.call.user_answers(self._rng.choice(list(steps.Choice)))

    # --- the caller ----------------------------------------------------------------------------

    async def caller(self) -> None:
        """Until the call is over."""
        await self._first(self._picked_up, self.over)
        for turn in range(1, self.found.case.chatty + 1):
            await self._wait_for_a_word()
            if self.over.is_set() or self._rng.random() < 0.05:
                break
            await self._say(turn)
        if self._rng.random() < 0.6 and not self.over.is_set() and self.call is not None:
            self.call.caller_left()
        await self.over.wait()
        for task in self._users:
            task.cancel()

    async def _first(self, *events: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(one.wait()) for one in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()

    async def _wait_for_a_word(self) -> None:
        """Until the robot was silent for a moment, or while it speaks."""
        interrupts = self._rng.random() < 0.3
        patience_s = self._rng.uniform(0.3, 1.5)
        until_s = self._clock() + 12
        while not self.over.is_set() and self._clock() < until_s:
            await asyncio.sleep(0.1)
            silent_s = self._clock() - self._sounded_s
            if (interrupts and self._saying > 0 and silent_s < 0.1) or silent_s > patience_s:
                return

    async def _say(self, turn: int) -> None:
        case, luck = self.found.case, self._rng.random()
        if self.call is None:
            return
        if self._clock() - self._sounded_s < 0.1 and self._saying > self._interrupted_saying:
            self._interrupted_saying, self._interrupted_s = self._saying, self._clock()
            self._interrupts = True
            self.found.stops_s.append(0.0)
        self.call.caller_speaks()
        talk_s = round(self._rng.uniform(0.8, 4.0), 1)
        start_s = self.call.now_s
        for tenth in range(int(talk_s * 10)):
            await asyncio.sleep(0.1)
            self._alive()
            if self.over.is_set():
                return
            if self.call is not None and tenth % 5 == 4:
                said_s = (tenth + 1) / 10
                self.call.so_far(self._sound(turn, said_s, start_s))
        if self.call is None:
            return
        if luck < 0.05:
            self.call.caller_quiet()
        else:
            heard = 0 if luck < 0.1 else turn
            self.found.caller_turns += heard > 0
            self.call.utterance(self._sound(heard, talk_s, start_s))
        assert case is self.found.case

    def _sound(self, turn: int, seconds: float, start_s: float) -> CallerSound:
        samples = sound_of(self.found.case.number, turn, seconds)
        return CallerSound(samples, RATE_HZ, start_s, start_s + seconds, seconds)
