"""The calls of an assistance demo: played at real time over the service's own lines, with a device
of their agent beside, and an agent who answers what comes to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from persona_ray.audio.decode import read_audio
from persona_ray.conversation import Action, Outcome, Rating, Speaker
from persona_ray.errors import ConfigError, RequestError
from persona_ray.serving.assist.client import AssistClient, DeviceClient
from persona_ray.serving.assist.protocol import (
    CallEnded,
    DeviceError,
    Notice,
    NotPushed,
    Pushed,
    TurnHeard,
    read_kept,
)
from persona_ray.serving.live.client import paced
from persona_ray.serving.live.protocol import Sound
from persona_ray.synth.assist.calls import CHANNELS, TURNS, StereoCall
from persona_ray.synth.grammar import COLOURS

if TYPE_CHECKING:
    from persona_ray.serving.assist.protocol import Kept

_FRAME_S = 0.04
_READS_S = 0.8
# The last notices of a call are on their way.
_TOLD_S = 10.0
# How sure the records are of a customer's colour.
_KNOWN = 0.7


@dataclass(frozen=True, slots=True)
class PlantedTurn:
    """A row of turns.jsonl: what was said when, and its truth; `fits`: ids of scripts."""

    speaker: Speaker
    start_s: float
    end_s: float
    step: str = ""
    emotion: str = ""
    fits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A notice as the device had it: `after_s` seconds after the end of the customer's sentence
    that a push answers, 0 for the others."""

    event: Kept
    after_s: float = 0.0


@dataclass
class PlayedCall:
    """A call as it went. `did`: what the agent did with pushes, by their ids; `refused`: why the
    service did not take what the device said."""

    script: StereoCall
    planted: Sequence[PlantedTurn]
    arrived: list[Arrived] = field(default_factory=list)
    did: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def truth_of(self, turn: TurnHeard) -> PlantedTurn | None:
        """What was planted where a turn was heard; None where nothing was."""
        theirs = [one for one in self.planted if one.speaker is turn.speaker]
        most = max(theirs, key=lambda one: _shared_s(one, turn), default=None)
        return most if most is not None and _shared_s(most, turn) > 0 else None

    @property
    def turns(self) -> list[TurnHeard]:
        """As they were heard, in order."""
        return [one.event for one in self.arrived if isinstance(one.event, TurnHeard)]

    def turn(self, seq: int) -> TurnHeard | None:
        """By its number among the events."""
        return next((one for one in self.turns if one.seq == seq), None)


class Shows(Protocol):
    """Whoever looks on while calls are played."""

    def began(self, call: StereoCall) -> None: ...
    def told(self, arrived: Arrived, turn: TurnHeard | None) -> None:
        """`turn`: the customer's, which a push answers."""
        ...

    def did(self, push: Pushed, action: str, rating: str) -> None: ...


class Player:
    """Plays calls of the folder `calls`, one after the other, for the agent whose `key` it is."""

    def __init__(self, address: str, key: str, calls: Path, shows: Shows) -> None:
        self._address = address
        self._key = key
        self._calls = calls
        self._shows = shows

    async def play(self, script: StereoCall) -> PlayedCall:
        """As long as it lasts. Raises RequestError, ServiceError."""
        played = PlayedCall(script, read_planted(self._calls, script.id))
        agent = _Agent(self._address, self._key, played, self._shows)
        self._shows.began(script)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(agent.listen())
            await agent.ready.wait()
            await self._call(script, played, agent)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TOLD_S):
                    await agent.over.wait()
            listening.cancel()
        await self._outcome(script.id, played)
        return played

    async def _call(self, script: StereoCall, played: PlayedCall, agent: _Agent) -> None:
        audio = read_audio(str(self._calls / f"{script.id}.ogg"))
        # Moments by channels.
        samples, rate_hz = audio.samples.T, audio.sample_rate_hz
        scene = {"product": script.product, "campaign": script.campaign}
        customers = [one for one in played.planted if one.speaker is Speaker.CUSTOMER]
        client = AssistClient(
            self._address,
            script.id,
            Sound(sample_rate_hz=rate_hz, channels=2, customer_channel=CHANNELS[Speaker.CUSTOMER]),
            scene={**scene, "step": customers[0].step},
            customer_id=script.customer,
            colour=colour_known(script.colour),
            key=self._key,
        )
        moves = asyncio.create_task(_moved(client, scene, customers))
        try:
            frames = agent.timed(paced(samples, rate_hz, frame_s=_FRAME_S))
            await client.stream(frames, lambda _: None)
        finally:
            moves.cancel()

    async def _outcome(self, call_id: str, played: PlayedCall) -> None:
        """As the agent notes it: what the customer last felt."""
        import httpx2

        last = [one.emotion for one in played.planted if one.speaker is Speaker.CUSTOMER][-1]
        came = Outcome.AGREED if last == "pleased" else Outcome.CALLBACK
        headers = {"authorization": f"Bearer {self._key}"}
        async with httpx2.AsyncClient(base_url=self._address, headers=headers) as web:
            path = f"/v1/assist/calls/{call_id}/outcome"
            answer = await web.post(path, json={"outcome": came.value})
        if not answer.is_success:
            error = answer.json()["error"]
            raise RequestError(error["code"], error["message"], status=answer.status_code)


class _Agent:
    """A device, and the agent who reads it: takes the first script that suits, lays the push aside
    where none does."""

    def __init__(self, address: str, key: str, played: PlayedCall, shows: Shows) -> None:
        self.ready = asyncio.Event()
        self.over = asyncio.Event()
        self._device = DeviceClient(address, key=key)
        self._played = played
        self._shows = shows
        self._begun = 0.0
        self._reading: set[asyncio.Task[None]] = set()

    async def timed(self, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same frames; a moment of the call was said when its frame was whole."""
        async for frame in frames:
            self._begun = self._begun or asyncio.get_running_loop().time() - _FRAME_S
            yield frame

    async def listen(self) -> None:
        """Until it is cancelled."""
        async for event in self._device.listen(self.ready.set):
            now = asyncio.get_running_loop().time()
            if isinstance(event, DeviceError):
                self._played.refused.append(event.error.message)
            of_call = isinstance(event, Notice) and event.call_id == self._played.script.id
            if isinstance(event, Notice) and of_call and event.event["type"] != "began":
                self._hear(read_kept(json.dumps(event.event)), now)

    def _hear(self, event: Kept, now: float) -> None:
        turn = None
        arrived = Arrived(event)
        if isinstance(event, Pushed | NotPushed):
            turn = self._played.turn(event.turn_seq)
        if isinstance(event, Pushed) and turn is not None:
            arrived = Arrived(event, now - self._begun - self._ended_s(turn))
            task = asyncio.create_task(self._answer(event, turn))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
        self._played.arrived.append(arrived)
        self._shows.told(arrived, turn)
        if isinstance(event, CallEnded):
            self.over.set()

    def _ended_s(self, turn: TurnHeard) -> float:
        """Where the sentence ended: planted, unless it was heard in parts."""
        truth = self._played.truth_of(turn)
        return turn.end_s if truth is None else min(turn.end_s, truth.end_s)

    async def _answer(self, push: Pushed, turn: TurnHeard) -> None:
        await asyncio.sleep(_READS_S)
        place = fitting(push, self._played.truth_of(turn))
        if place is None:
            return
        if place == 0:
            action, rating = Action.DISMISSED, Rating.POOR
            self._device.say(push.push_id, action.value, rating.value)
        else:
            action, rating = Action.USED, Rating.EXCELLENT if place == 1 else Rating.GOOD
            script_id = push.scripts[place - 1].script_id
            self._device.say(push.push_id, action.value, rating.value, script_id=script_id)
        self._played.did[push.push_id] = action.value
        self._shows.did(push, action.value, rating.value)


def fitting(push: Pushed, truth: PlantedTurn | None) -> int | None:
    """Place of the first script that suits, from 1; 0: none does; None: it is not known."""
    if truth is None or not truth.fits:
        return None
    ids = [script.script_id for script in push.scripts]
    return next((at for at, one in enumerate(ids, 1) if one in truth.fits), 0)


def colour_known(colour: str) -> dict[str, float]:
    """As the personality application would have it."""
    rest = (1 - _KNOWN) / (len(COLOURS) - 1)
    return {one: _KNOWN if one == colour else rest for one in COLOURS}


def read_planted(folder: Path, call_id: str) -> list[PlantedTurn]:
    """Rows of a call, in order. Raises ConfigError."""
    path = folder / TURNS
    try:
        rows: list[dict[str, Any]] = [
            json.loads(row) for row in path.read_text("utf-8").splitlines()
        ]
        return [_planted(row) for row in rows if row["call"] == call_id]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({type(error).__name__}): `persona-ray synth assist-calls "
            f"{folder}` writes it"
        ) from None


def _planted(row: Mapping[str, Any]) -> PlantedTurn:
    return PlantedTurn(
        speaker=Speaker(row["speaker"]),
        start_s=float(row["start_s"]),
        end_s=float(row["end_s"]),
        step=str(row.get("step", "")),
        emotion=str(row.get("emotion", "")),
        fits=tuple(row.get("fits", ())),
    )


async def _moved(
    client: AssistClient, scene: Mapping[str, str], customers: Iterable[PlantedTurn]
) -> None:
    """Tells the step as the agent's own software would, before the customer speaks in it."""
    loop = asyncio.get_running_loop()
    begun, step = loop.time(), ""
    for turn in customers:
        await asyncio.sleep(max(0.0, begun + turn.start_s - loop.time()))
        if step and turn.step != step:
            client.move({**scene, "step": turn.step})
        step = turn.step


def _shared_s(planted: PlantedTurn, turn: TurnHeard) -> float:
    return min(planted.end_s, turn.end_s) - max(planted.start_s, turn.start_s)
