"""How many screened calls the service holds at real time: voices, recogniser, category, robot,
mouth, all of them the real ones.

    persona-ray demo screening                                  # makes the workspace, once
    python -m benchmarks.screening_live --steps 1 2 4 6 8

`persona-ray serve --app screening` is started, and callers of `demo/calls` talk to it over its own
WebSocket, mu-law paced as it is spoken: each says its next turn when the robot has ended, and when
nothing is left to say it hangs up and the next call begins, so that there are always so many. The
policy is set so that every call is talked to until then, whatever it is, and no voice is known: no
call is cheaper than another. Shown is how long after the caller's last word the robot's answer
began to sound; the silence that ends a turn (serving.live.end_gap_s) is in it. There are more calls
at each step, until 95 % of the answers do not come within `--within-s`, or a verdict takes longer
than that after its call: then work has piled up. `turns s` is how long a turn lasts, `verdict s`
when 95 % of the verdicts were there after a call's end, `missing` answers that parts owed to
verdicts; `late` as in serving_live.py. `--set screening.parts.layout=split` tells the parts' shares
of the processor apart.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.live_ramp import RATE_HZ, STAGGER_S, Ramp, Seen, served
from benchmarks.serving_load import quantile
from benchmarks.shared import arguments
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config.corpus import VadConfig
from persona_ray.errors import PersonaRayError
from persona_ray.serving.live.protocol import Sound
from persona_ray.serving.screening.client import CallClient
from persona_ray.serving.screening.protocol import CallEventOut, LineDone, Played
from persona_ray.synth.callers import read_script, read_turn, turn_files

if TYPE_CHECKING:
    from persona_ray.types import Samples

SOUND = Sound(sample_rate_hz=RATE_HZ, encoding="mulaw")
LONGEST_S, TICK_S = 90.0, 0.04
# Everybody is talked to, until nothing is left to say.
POLICY = (
    "screening.policy.wanted=[]",
    "screening.policy.on_normal=screen",
    "screening.policy.on_abnormal=screen",
    "screening.policy.on_abnormal_voice=screen",
    "screening.policy.false_hang_up_cost=1000000000",
    "screening.voice.margin=2",
)


@dataclass(frozen=True)
class Said:
    """A turn, and when its last word ends."""

    samples: Samples
    rate_hz: int
    end_s: float


@dataclass
class Talks(Seen):
    """`delays_s`: from the caller's last word to the robot's first sound."""

    verdicts_s: list[float] = field(default_factory=list)
    turns_s: list[float] = field(default_factory=list)
    missing: int = 0


@dataclass
class Caller:
    """One call, from its line's side."""

    client: CallClient
    turns: list[Said]
    talks: Talks
    said_at: float = 0.0
    left_at: float = 0.0

    def note(self, event: CallEventOut) -> None:
        if isinstance(event, LineDone) and event.action != "pick_up":
            self.left_at = time.perf_counter()
        if not isinstance(event, Played) or not event.over or not self.client.silent:
            return
        if self.turns:
            turn = self.turns.pop(0)
            self.said_at = time.perf_counter() + turn.end_s
            self.talks.turns_s.append(turn.end_s)
            self.client.say(turn.samples, turn.rate_hz)
        else:
            self.left_at = time.perf_counter()
            self.client.hang_up()

    def hear(self, _: Samples) -> None:
        now = time.perf_counter()
        if self.said_at and now > self.said_at:
            self.talks.delays_s.append(now - self.said_at)
            self.said_at = 0.0


class Exchange:
    """Callers on a service at `url`."""

    def __init__(self, url: str, calls: Path, seconds: float, turns: int) -> None:
        self.url = url
        self._seconds = seconds
        voice = VoiceActivity(VadConfig())
        self._scripts: list[list[Said]] = []
        for one in read_script(calls).calls:
            read = [read_turn(path) for path in turn_files(calls, one)[:turns]]
            ends = [voice.speech(samples, rate)[-1].end_s for samples, rate in read]
            said = [Said(*turn, end) for turn, end in zip(read, ends, strict=True)]
            self._scripts += [said] if said else []
        self._tag = f"{time.time():.0f}"
        self._numbers = count()

    async def step(self, calls: int) -> Talks:
        """So many at once, for the seconds that a step lasts; calls that have begun are ended."""
        talks, until = Talks(), time.perf_counter() + self._seconds
        ticking = asyncio.create_task(_tick(talks))
        try:
            await asyncio.gather(
                *(self._slot(at * STAGGER_S / calls, until, talks) for at in range(calls))
            )
        finally:
            ticking.cancel()
        return talks

    async def _slot(self, wait_s: float, until: float, talks: Talks) -> None:
        await asyncio.sleep(wait_s)
        while time.perf_counter() < until and not talks.failed:
            await self._call(next(self._numbers), talks)

    async def _call(self, number: int, talks: Talks) -> None:
        # Numbers of nobody's: what one call teaches changes no other.
        start = {"number": f"+86170{number:08d}", "user_id": f"user-{self._tag}-{number}"}
        call_id = f"live-{self._tag}-{number}"
        client = CallClient(self.url, call_id, SOUND, start=start)
        caller = Caller(client, list(self._scripts[number % len(self._scripts)]), talks)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(LONGEST_S):
                await client.call(caller.note, caller.hear)
        except (PersonaRayError, TimeoutError) as error:
            talks.failed.append(f"{type(error).__name__}: {error}")
            return
        talks.verdicts_s.append(time.perf_counter() - (caller.left_at or began))
        talks.lines += client.connections - 1
        talks.audio_s += time.perf_counter() - began
        talks.missing += await asyncio.to_thread(self._missing, call_id, start["user_id"])

    def _missing(self, call_id: str, user_id: str) -> int:
        """Answers that parts owed to the call's verdict."""
        where = f"{self.url}/v1/screening/calls/{call_id}?user_id={user_id}"
        with urllib.request.urlopen(where, timeout=10) as answer:
            evidence: dict[str, float] = json.load(answer)["evidence"]
        return round(sum(much for what, much in evidence.items() if what.startswith("missing_")))


async def _tick(talks: Talks) -> None:
    while True:
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        talks.late_s.append(time.perf_counter() - due)


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(config=Path("configs/screening.yaml"))
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 4, 6, 8])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each step")
    parser.add_argument("--within-s", type=float, default=3.0)
    parser.add_argument("--turns", type=int, default=2, help="of a caller, at most")
    parser.add_argument("--calls", type=Path, default=Path("demo/calls"))
    chosen = parser.parse_args()
    overrides = (*POLICY, "workspace=runs/demo-screening", *chosen.overrides)
    within_s: float = chosen.within_s

    def verdicts(talks: Talks) -> float:
        return quantile(sorted(talks.verdicts_s) or [float("nan")], 0.95)

    with served(chosen.config, overrides, "screening") as arm:
        url = f"http://127.0.0.1:{arm.port}"
        # The first call is slow: it belongs to nobody.
        asyncio.run(Exchange(url, chosen.calls, 1.0, turns=1).step(1))
        exchange = Exchange(url, chosen.calls, chosen.seconds, chosen.turns)
        extra = {
            "calls": lambda talks: str(len(talks.verdicts_s)),
            "turns s": lambda talks: f"{sum(talks.turns_s) / max(1, len(talks.turns_s)):.1f}",
            "verdict s": lambda talks: f"{verdicts(talks):.2f}",
            "missing": lambda talks: str(talks.missing),
        }
        behind = lambda talks: verdicts(talks) > within_s  # noqa: E731
        Ramp("answers", exchange.step, within_s, extra, behind, by_process=True).climb(
            arm, chosen.steps
        )


if __name__ == "__main__":
    main()
