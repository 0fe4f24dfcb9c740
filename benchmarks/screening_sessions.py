"""Many screened calls at once, with fakes at the seams: real asyncio, random timings and failures.

200 callers by default: frauds, promoters, couriers, friends. They talk over the robot, fall silent,
mumble, leave; parts are late, fail or never answer; replicas are killed, and another one goes on
from the state that was kept, or ends the call with the verdict so far. Checked for every call: one
verdict, with its own texts alone; nothing after it; no hang-up without evidence; an end in time;
nobody left in silence. Prints outcomes, when it was decided, what that cost, and how soon the
robot stops when it is interrupted. The clock is virtual unless `--real` is given: then it takes as
long as calls take, and times are those of one process.

    python -m benchmarks.screening_sessions [--calls 200] [--real]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.screening_fakes import (
    RATE_HZ,
    FakeParts,
    MixedError,
    Scenario,
    Trouble,
    VirtualLoop,
    call_of,
    scenario,
    sound_of,
)
from persona_ray.config.screening import ScreeningConfig
from persona_ray.inference.screening import steps
from persona_ray.inference.screening.call import ScreeningCall
from persona_ray.inference.screening.records import (
    LineKind,
    Outcome,
    Speaker,
    Standing,
    Verdict,
    VoiceMatch,
)
from persona_ray.inference.screening.session import verdict_so_far
from persona_ray.inference.screening.speaking import RobotSound
from persona_ray.inference.screening.voice_so_far import CallerSound

if TYPE_CHECKING:
    from persona_ray.inference.screening.call import Event

# All calls ring within this time.
_STARTS_WITHIN_S = 1.0


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


async def one_call(
    case: Scenario, parts: FakeParts, config: ScreeningConfig, seed: int, killing: float
) -> Found:
    """From its ring to its verdict; with probability `killing` its replica dies in between."""
    rng = random.Random(f"{seed}/replica/{case.number}")
    await asyncio.sleep(rng.uniform(0, _STARTS_WITHIN_S))
    phone = Phone(case, seed)
    phone.found.began_s = asyncio.get_running_loop().time()
    caller = asyncio.ensure_future(phone.caller())
    phone.call = ScreeningCall(case.event, parts, phone, config)
    run = asyncio.ensure_future(phone.call.run())
    if rng.random() < killing:
        await asyncio.wait([run], timeout=rng.uniform(0.05, 30))
        if not run.done():
            run.cancel()
            await asyncio.wait([run])
            await _replaced(phone, parts, config, rng)
    if not run.cancelled():
        await run
    phone.found.ended_s = asyncio.get_running_loop().time()
    await caller
    return phone.found


async def _replaced(
    phone: Phone, parts: FakeParts, config: ScreeningConfig, rng: random.Random
) -> None:
    """Somewhat later another replica has the call, or ends it."""
    found, kept = phone.found, phone.kept
    found.killed = True
    phone.call = None
    await asyncio.sleep(1.0)
    if kept is not None and rng.random() < 0.3:
        phone.concluded(verdict_so_far(kept, config, "the service lost the call"))
        return
    phone.call = ScreeningCall(found.case.event, parts, phone, config, kept=kept)
    await phone.call.run()


async def many_calls(
    count: int, seed: int, config: ScreeningConfig, failing: float, hanging: float, killing: float
) -> list[Found]:
    """`count` calls at once."""
    cases = [scenario(number, seed) for number in range(1, count + 1)]
    parts = FakeParts(cases, Trouble(seed, failing, hanging))
    return await asyncio.gather(*(one_call(case, parts, config, seed, killing) for case in cases))


def check(found: Found, config: ScreeningConfig) -> None:
    """What holds of every call, whatever went wrong in it. Raises AssertionError."""
    assert not MixedError.seen, MixedError.seen
    assert not found.wrong, found.wrong
    assert found.verdicts == 1
    verdict = found.verdict
    assert verdict is not None
    assert verdict.call == found.case.event
    for turn in verdict.turns:
        own = f"来电{found.case.number}第" if turn.speaker is Speaker.CALLER else None
        assert own is None or turn.text.startswith(own)
        if turn.text.startswith("答复"):
            assert turn.text.startswith(f"答复{found.case.number}，")
    said = [turn for turn in verdict.turns if turn.speaker is Speaker.CALLER]
    assert len({turn.text for turn in said}) == len(said) <= found.caller_turns
    if verdict.outcome is Outcome.HUNG_UP:
        voice = isinstance(verdict.voice, VoiceMatch) and verdict.voice.standing is Standing.ILLEGAL
        assert voice or verdict.evidence["p_illegal"] > 0.5
    longest_s = config.policy.ask_s + config.dialogue.max_call_s + 60
    assert verdict.duration_s <= longest_s
    assert found.longest_silence_s <= config.dialogue.silence_s + 3 * config.dialogue.part_s


def simulate(
    count: int,
    seed: int = 1,
    config: ScreeningConfig | None = None,
    *,
    failing: float = 0.03,
    hanging: float = 0.01,
    killing: float = 0.2,
    real: bool = False,
) -> list[Found]:
    """`count` calls at once, each checked."""
    config = config or ScreeningConfig()
    MixedError.seen.clear()
    loop = asyncio.new_event_loop() if real else VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        found = runner.run(many_calls(count, seed, config, failing, hanging, killing))
    for one in found:
        check(one, config)
    return found


# --- figures -----------------------------------------------------------------------------------


def _percentiles(values: Sequence[float], unit: str) -> str:
    if not values:
        return "none"
    middle, high, most = np.percentile(values, (50, 95, 100))
    return f"p50 {middle:.2f}, p95 {high:.2f}, most {most:.2f} {unit} ({len(values)})"


def _print(found: Sequence[Found], config: ScreeningConfig) -> None:
    verdicts = [(one.case, one.verdict) for one in found if one.verdict is not None]
    print("| caller | calls | " + " | ".join(Outcome) + " |")
    print("|---" * (len(Outcome) + 2) + "|")
    for category in sorted({case.category for case, _ in verdicts}):
        of = Counter(verdict.outcome for case, verdict in verdicts if case.category == category)
        row = " | ".join(str(of[outcome]) for outcome in Outcome)
        print(f"| {category} | {of.total()} | {row} |")
    hung_up = [(case, one) for case, one in verdicts if one.outcome is Outcome.HUNG_UP]
    turns = [one.evidence["caller_turns"] for _, one in hung_up]
    decided = [one.decided_s for _, one in verdicts if one.decided_s is not None]
    wrongly = sum(not case.illegal for case, _ in hung_up)
    listened = sum(
        one.evidence["caller_turns"] - (one.outcome is Outcome.HUNG_UP)
        for case, one in verdicts
        if case.illegal
    )
    policy = config.policy
    cost = policy.false_hang_up_cost * wrongly + policy.fraud_turn_cost * listened
    print(f"\ncaller's turns until a hang-up: {_percentiles(turns, 'turns')}")
    print(f"decided after: {_percentiles(decided, 's')}")
    print(f"wrong hang-ups {wrongly}, turns that frauds were listened to {listened:g}: ", end="")
    print(f"cost {cost / len(found):.2f} a call")
    stops = [1000 * stop_s for one in found for stop_s in one.stops_s]
    print(f"last sound after an interruption: {_percentiles(stops, 'ms')}")
    silences = [one.longest_silence_s for one in found]
    print(f"longest time in which nothing happened: {_percentiles(silences, 's')}")
    rings = [(one.began_s, +1) for one in found] + [(one.ended_s, -1) for one in found]
    at_once = np.cumsum([change for _, change in sorted(rings)])
    print(f"calls at once: {at_once.max()} at most")
    missing = sum(any(name.startswith("missing_") for name in one.evidence) for _, one in verdicts)
    print(f"calls with a part that failed: {missing}; replicas killed: ", end="")
    print(sum(one.killed for one in found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="by the clock on the wall")
    chosen = parser.parse_args()
    began, used = time.perf_counter(), time.process_time()
    found = simulate(chosen.calls, chosen.seed, real=chosen.real)
    _print(found, ScreeningConfig())
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - used
    print(f"took {took_s:.1f} s, of which {cpu_s:.1f} s processor; every call checked")


if __name__ == "__main__":
    main()
