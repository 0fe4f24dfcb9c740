"""The calls of a screening demo, made as phones make them: events, the line with sound, the user's
notices and answers, over the service's own addresses."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.errors import RequestError
from persona_ray.serving.live.protocol import Sound
from persona_ray.serving.screening.client import CallClient
from persona_ray.serving.screening.protocol import Asked, CallEventOut, Played
from persona_ray.synth.callers import read_turn, turn_files

if TYPE_CHECKING:
    from httpx2 import AsyncClient

    from persona_ray.progress import Stage
    from persona_ray.synth.callers import CallScript, ScriptedCall

# A phone's own line: mu-law at 8 kHz.
_LINE = Sound(encoding="mulaw")
_LONGEST_S = 120.0
_ANSWER_S = 30.0
_NOTICES_S = 10.0
_LEARNT_S = 1.0


@dataclass(frozen=True, slots=True)
class MadeCall:
    """One call as it went. `event` is the answer to its event, `detail` the call as its user sees
    it afterwards; `notices` are kind and body of what the user was told; `recording` is empty
    where no line was connected."""

    script: ScriptedCall
    event: dict[str, Any]
    detail: dict[str, Any]
    notices: Sequence[tuple[str, dict[str, Any]]]
    recording: bytes
    connections: int


class Notices:
    """What the user is told, as it comes over the notices' WebSocket."""

    def __init__(self, address: str, key: str) -> None:
        self._url = address.replace("http", "ws", 1) + "/v1/screening/notices"
        self._key = key
        self._told: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self._more = asyncio.Condition()

    async def listen(self) -> None:
        """Until it is cancelled."""
        from websockets.asyncio.client import connect

        headers = {"authorization": f"Bearer {self._key}"}
        async with connect(self._url, additional_headers=headers) as line:
            await line.send(json.dumps({"type": "start", "after": 0}))
            async for message in line:
                notice = json.loads(message)
                async with self._more:
                    of_call = self._told.setdefault(notice["call_id"], [])
                    of_call.append((notice["kind"], notice["body"]))
                    self._more.notify_all()

    async def of(self, call_id: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """Of a call that has ended, once its verdict is among them."""

        def concluded() -> bool:
            return any(kind == "verdict" for kind, _ in self._told.get(call_id, ()))

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_NOTICES_S), self._more:
                await self._more.wait_for(concluded)
        return tuple(self._told.get(call_id, ()))


@dataclass
class _Caller:
    """Somebody who says one thing after the other, each once the robot has ended. Who is asked for
    more says the last thing again, and hangs up then: a busy machine asks for what it has not
    understood yet."""

    client: CallClient
    turns: list[tuple[Any, int]]
    again: int = 2
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, event: CallEventOut) -> None:
        if isinstance(event, Asked):
            self.asked.set()
        if not isinstance(event, Played) or not event.over or not self.client.silent:
            return
        if len(self.turns) > 1:
            self.client.say(*self.turns.pop(0))
        elif self.turns and self.again >= 0:
            self.again -= 1
            self.client.say(*self.turns[0])
        else:
            self.client.hang_up()


class Player:
    """Makes the calls of a script, `at_once` of them at a time."""

    def __init__(
        self, address: str, key: str, script: CallScript, folder: Path, at_once: int
    ) -> None:
        self._address = address
        self._key = key
        self._script = script
        self._folder = folder
        self._at_once = asyncio.Semaphore(at_once)

    async def play(self, stage: Stage) -> list[MadeCall]:
        """Round by round, in the script's order. Raises RequestError, ServiceLostError."""
        import httpx2

        headers = {"authorization": f"Bearer {self._key}"}
        notices = Notices(self._address, self._key)
        listening = asyncio.create_task(notices.listen())
        made: list[MadeCall] = []
        try:
            async with httpx2.AsyncClient(
                base_url=self._address, headers=headers, timeout=_ANSWER_S
            ) as web:
                for calls in self._rounds():
                    made += await asyncio.gather(
                        *(self._call(web, notices, one, stage) for one in calls)
                    )
                    # What their verdicts taught is in the store; a replica reads it again by then.
                    await asyncio.sleep(_LEARNT_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return made

    def _rounds(self) -> Iterator[list[ScriptedCall]]:
        for number in sorted({call.round for call in self._script.calls}):
            yield [call for call in self._script.calls if call.round == number]

    async def _call(
        self, web: AsyncClient, notices: Notices, call: ScriptedCall, stage: Stage
    ) -> MadeCall:
        async with self._at_once:
            event = await _asked(
                web, "POST", "/v1/screening/events", {"call_id": call.id, "number": call.number}
            )
            connections = 0
            if event["connect"] is not None:
                connections = await self._line(web, call)
        detail = await _asked(web, "GET", f"/v1/screening/calls/{call.id}")
        stage.advance()
        return MadeCall(
            call,
            event,
            detail,
            await notices.of(call.id),
            await _recording(web, detail),
            connections,
        )

    async def _line(self, web: AsyncClient, call: ScriptedCall) -> int:
        client = CallClient(self._address, call.id, _LINE, key=self._key)
        turns = [read_turn(path) for path in turn_files(self._folder, call)]
        caller = _Caller(client, turns)
        answering = asyncio.create_task(self._answer(web, call, caller))
        try:
            async with asyncio.timeout(_LONGEST_S):
                await client.call(caller.hear)
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
        return client.connections

    async def _answer(self, web: AsyncClient, call: ScriptedCall, caller: _Caller) -> None:
        await caller.asked.wait()
        if call.answer:
            where = f"/v1/screening/calls/{call.id}/answer"
            await _asked(web, "POST", where, {"choice": call.answer})


async def _asked(
    web: AsyncClient, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    answer = await web.request(method, path, json=body)
    if not answer.is_success:
        error = answer.json()["error"]
        raise RequestError(
            error["code"], error["message"], status=answer.status_code, fix=error["fix"]
        )
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found


async def _recording(web: AsyncClient, detail: dict[str, Any]) -> bytes:
    """By its signed link."""
    link = detail["links"].get("recording")
    if link is None:
        return b""
    answer = await web.get(link)
    return bytes(answer.content) if answer.is_success else b""
