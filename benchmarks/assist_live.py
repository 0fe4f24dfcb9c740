"""How long after a customer's sentence a push stands on the agent's device, stage by stage.

    persona-ray assist train-emotion ... && persona-ray assist train-ranker ...   # once, or not
    python -m benchmarks.assist_live --steps 1 2 4 --set workspace=runs/demo-assist

`persona-ray serve --app assist` is started on this machine, and the stereo calls of `demo/assist`
are played to it at real time, over its own WebSocket, so many at once; the device of each call's
agent listens beside. Shown is the time from the end of what the customer said (where the service
found it, which the planted ends are compared with) until the push had come to the device. Stages
are medians: `ended` is the silence that shows the end (assist.ears.end_gap_s), `hearing` what
recognition took after it, `feeling` and `choosing` the models, `kept and sent` the rest: the store,
and the way to the device.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.live_ramp import STAGGER_S, Ramp, Seen, served
from benchmarks.shared import arguments
from persona_ray.audio.decode import read_audio
from persona_ray.errors import PersonaRayError
from persona_ray.serving.assist.client import AssistClient, DeviceClient
from persona_ray.serving.assist.protocol import AnyEvent, Notice, Pushed, TurnHeard
from persona_ray.serving.live.client import paced
from persona_ray.serving.live.protocol import Sound

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.types import Samples

STAGES = ("ended", "hearing", "feeling", "choosing")
TICK_S, FRAME_S = 0.04, 0.04
# A planted and a found end are of one sentence.
NEAR_S = 0.6


@dataclass(frozen=True)
class Call:
    """`samples` (n, 2), the agent's channel first. Planted, of the customer's turns: `ends_s`, and
    from when on the call is at which step."""

    samples: Samples
    rate_hz: int
    scene: Mapping[str, str]
    colour: str
    ends_s: tuple[float, ...]
    steps: tuple[tuple[float, str], ...]


@dataclass
class Pushes(Seen):
    """`stages_s`: of each push; `turns` of customers; `planted_s`: how much later than planted an
    end was found."""

    stages_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    turns: int = 0
    planted_s: list[float] = field(default_factory=list)


class Floor:
    """Agents on a service at `url`."""

    def __init__(self, url: str, calls: list[Call], pad_s: float) -> None:
        self._url = url
        self._calls = calls
        self._pad_s = pad_s
        self._tag = f"{time.time():.0f}"
        self._numbers = count()

    async def step(self, calls: int) -> Pushes:
        """So many at once."""
        seen = Pushes()
        ticking = asyncio.create_task(_tick(seen))
        try:
            await asyncio.gather(*(self._call(at * STAGGER_S / calls, seen) for at in range(calls)))
        finally:
            ticking.cancel()
        return seen

    async def _call(self, wait_s: float, seen: Pushes) -> None:
        await asyncio.sleep(wait_s)
        number = next(self._numbers)
        call, agent = self._calls[number % len(self._calls)], f"agent-{self._tag}-{number}"
        standing: dict[str, float] = {}
        listening = asyncio.Event()
        device = asyncio.create_task(self._device(agent, standing, listening))
        await listening.wait()
        sound = Sound(sample_rate_hz=call.rate_hz, channels=2, customer_channel=1)
        client = AssistClient(
            self._url,
            f"call-{number}",
            sound,
            scene=call.scene,
            agent_id=agent,
            colour={call.colour: 1.0} if call.colour else {},
        )
        events: list[AnyEvent] = []
        began = time.perf_counter()
        moving = asyncio.create_task(_move(client, call))
        try:
            payloads = paced(call.samples, call.rate_hz, frame_s=FRAME_S)
            await client.stream(payloads, events.append)
            await asyncio.sleep(1.0)
        except PersonaRayError as error:
            seen.failed.append(f"{type(error).__name__}: {error}")
        finally:
            device.cancel()
            moving.cancel()
        seen.lines += client.connections - 1
        seen.audio_s += len(call.samples) / call.rate_hz
        self._judge(call, events, standing, began, seen)

    async def _device(
        self, agent: str, standing: dict[str, float], listening: asyncio.Event
    ) -> None:
        device = DeviceClient(self._url, agent)
        async for event in device.listen(listening.set):
            if isinstance(event, Notice) and event.event["type"] == "push":
                standing[str(event.event["push_id"])] = time.perf_counter()

    def _judge(
        self,
        call: Call,
        events: list[AnyEvent],
        standing: Mapping[str, float],
        began: float,
        seen: Pushes,
    ) -> None:
        ends = {
            event.seq: event.end_s - self._pad_s
            for event in events
            if isinstance(event, TurnHeard) and event.speaker == "customer"
        }
        seen.turns += len(ends)
        for end_s in ends.values():
            near = min(call.ends_s, key=lambda one: abs(one - end_s))
            if abs(near - end_s) < NEAR_S:
                seen.planted_s.append(end_s - near)
        for push in events:
            if not isinstance(push, Pushed):
                continue
            if push.push_id not in standing:
                seen.failed.append("a push that no device had")
                continue
            # Who hears a frame as it is sent has spoken it until then; the first is sent at once.
            delay_s = standing[push.push_id] - began + FRAME_S - ends[push.turn_seq]
            seen.delays_s.append(delay_s)
            for stage in STAGES:
                seen.stages_s[stage].append(push.timings_s[stage])
            known = sum(push.timings_s[stage] for stage in STAGES)
            seen.stages_s["kept and sent"].append(delay_s - known)


async def _move(client: AssistClient, call: Call) -> None:
    """Tell the steps of a call as it comes to them."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for start_s, step in call.steps:
        await asyncio.sleep(max(0.0, began + start_s - loop.time()))
        client.move({**call.scene, "step": step})


async def _tick(seen: Pushes) -> None:
    while True:
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        seen.late_s.append(time.perf_counter() - due)


def read_calls(folder: Path) -> list[Call]:
    """Those of `demo/assist`."""
    script = yaml.safe_load((folder / "calls.yaml").read_text("utf-8"))
    truth: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in (folder / "turns.jsonl").read_text("utf-8").splitlines():
        turn: dict[str, Any] = json.loads(line)
        if turn["speaker"] == "customer":
            truth[turn["call"]].append(turn)
    found = []
    for one in script["calls"]:
        audio = read_audio(f"{one['id']}.ogg", str(folder))
        scene = {"product": one["product"], "campaign": one.get("campaign", "")}
        turns = truth[one["id"]]
        found.append(
            Call(
                audio.samples.T,
                audio.sample_rate_hz,
                scene,
                one.get("colour", ""),
                tuple(turn["end_s"] for turn in turns),
                tuple((turn["start_s"], turn["step"]) for turn in turns),
            )
        )
    return found


def _middle(values: list[float]) -> str:
    return f"{median(values):.2f}" if values else "-"


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(config=Path("configs/assist.yaml"))
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 1, 1, 2, 4])
    parser.add_argument("--within-s", type=float, default=1.5)
    parser.add_argument("--calls", type=Path, default=Path("demo/assist"))
    chosen = parser.parse_args()
    calls = read_calls(chosen.calls)
    config = _config(chosen)
    with served(chosen.config, chosen.overrides, "assist") as arm:
        floor = Floor(f"http://127.0.0.1:{arm.port}", calls, config.vad.pad_s)
        columns = {
            stage: lambda seen, stage=stage: _middle(seen.stages_s[stage])
            for stage in (*STAGES, "kept and sent")
        }
        extra = {
            "turns": lambda seen: str(seen.turns),
            **columns,
            "end-planted": lambda seen: _middle(seen.planted_s),
        }
        Ramp("pushes", floor.step, chosen.within_s, extra, by_process=True).climb(arm, chosen.steps)


def _config(chosen: Any) -> RunConfig:
    from persona_ray.config import load_config

    return load_config(chosen.config, chosen.overrides)


if __name__ == "__main__":
    main()
