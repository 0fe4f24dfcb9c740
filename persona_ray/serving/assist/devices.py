"""The devices of agents: what they are told, what they say of it. Each device goes at its own pace
over what the store has, so that a slow one holds up no other and nothing piles up for it.

A line is closed with the codes of live calls; 1000 is the device's own wish. A push that is too
late by now is left out, and counted where no device had it. Coming again with `after` brings what
was missed.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from persona_ray.errors import RequestError
from persona_ray.serving.assist.protocol import (
    DeviceError,
    DeviceEvent,
    FeedbackGiven,
    Listen,
    Notice,
    Seen,
    read_device_message,
)
from persona_ray.serving.assist.services import agent_of
from persona_ray.serving.failures import close_of, failure_of, unexpected
from persona_ray.serving.live.connection import start_first
from persona_ray.store.assist.records import PushState
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.serving.assist.desk import AssistDesk
    from persona_ray.serving.assist.news import News
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.serving.failures import Failure
    from persona_ray.serving.gate import Caller
    from persona_ray.serving.live.connection import Line
    from persona_ray.store.assist.records import AgentNotice


class Devices:
    """All of one replica."""

    def __init__(self, services: AssistServices, desk: AssistDesk, news: News) -> None:
        self._services = services
        self._desk = desk
        self._news = news

    async def hold(self, line: Line, caller: Caller) -> None:
        """A device, from its `listen` until it goes."""
        code = ""
        device = _Device(line, caller, self._services, self._desk)
        try:
            asked = await _listen(line)
            agent_id = agent_of(caller, asked.agent_id)
            with self._news.listening(agent_id) as come:
                await device.converse(agent_id, asked.after, come)
        except WebSocketDisconnect:
            pass
        except Exception as error:
            failure = _why(error)
            code = failure.code
            await device.part(failure)
        finally:
            log_event("agent's device", code=code)


class _Device:
    """One line."""

    def __init__(
        self, line: Line, caller: Caller, services: AssistServices, desk: AssistDesk
    ) -> None:
        self._line = line
        self._caller = caller
        self._desk = desk
        self._pushes = services.store.pushes
        self._metrics = services.metrics
        self._missed = timedelta(seconds=services.config.assist.records.missed_s)
        self._sending = asyncio.Lock()

    async def converse(self, agent_id: str, after: int | None, come: asyncio.Event) -> None:
        """Raises what ends it: WebSocketDisconnect where the device goes."""
        # That the device is gone matters less than anything else.
        tasks = [
            asyncio.create_task(work)
            for work in (self._line.watch(), self._tell(agent_id, after, come), self._hear())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            first = next(task for task in tasks if task.done())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        first.result()

    async def part(self, failure: Failure) -> None:
        """Say why, and close."""
        last = DeviceError(error=failure.detail(), closing=True)
        try:
            if failure.status != 429:
                await self._send(last)
        except (RequestError, WebSocketDisconnect):
            pass
        await self._line.close(*close_of(failure))

    # --- what it is told -----------------------------------------------------------------------

    async def _tell(self, agent_id: str, after: int | None, come: asyncio.Event) -> None:
        if after is None:
            after = await asyncio.to_thread(self._pushes.last_notice, agent_id)
        while True:
            come.clear()
            since = datetime.now(UTC) - self._missed
            page = await asyncio.to_thread(self._pushes.notices, agent_id, after, since)
            for notice in page:
                await self._notice(notice)
                after = notice.number
            if not page:
                await come.wait()

    async def _notice(self, notice: AgentNotice) -> None:
        event = json.loads(notice.body)
        if notice.expires_at is not None:
            left_s = (notice.expires_at - datetime.now(UTC)).total_seconds()
            if left_s <= 0:
                await self._note(notice.push_id, PushState.LATE)
                return
            event["expires_in_s"] = round(left_s, 3)
        await self._send(Notice(number=notice.number, call_id=notice.call_id, event=event))
        if notice.push_id:
            # Of a device that goes right then it is true as well.
            await asyncio.shield(self._note(notice.push_id, PushState.SENT))

    async def _note(self, push_id: str, state: PushState) -> None:
        new = await asyncio.to_thread(self._pushes.comes_to, push_id, state, datetime.now(UTC))
        if new:
            self._metrics.pushes(state)

    # --- what it says --------------------------------------------------------------------------

    async def _hear(self) -> None:
        while True:
            try:
                message = await self._line.receive()
            except RequestError:
                # It need not say anything.
                continue
            await self._take(message)

    async def _take(self, message: bytes | str) -> None:
        push_id = ""
        try:
            if isinstance(message, bytes):
                raise _no_sound()
            said = read_device_message(message)
            if isinstance(said, Listen):
                raise _listens_already()
            push_id = said.push_id
            if isinstance(said, Seen):
                await self._desk.seen(self._caller, push_id)
                return
            taken = await self._desk.feedback(self._caller, push_id, said)
        except Exception as error:
            await self._send(DeviceError(error=_why(error).detail(), push_id=push_id))
        else:
            await self._send(taken)

    async def _send(self, event: DeviceEvent) -> None:
        """Raises WebSocketDisconnect; RequestError where the device does not read."""
        async with self._sending:
            await self._line.send_text(event.model_dump_json())


async def _listen(line: Line) -> Listen:
    message = await line.receive()
    if isinstance(message, bytes):
        raise start_first("a frame")
    said = read_device_message(message)
    if isinstance(said, Seen | FeedbackGiven):
        raise RequestError(
            "live.message",
            f"'{said.type}' before listen",
            status=400,
            field="type",
            fix="send listen first",
        )
    return said


def _listens_already() -> RequestError:
    return RequestError(
        "live.message",
        "listen is the first message, and no other",
        status=400,
        field="type",
        fix="connect again to listen otherwise",
    )


def _no_sound() -> RequestError:
    return RequestError(
        "live.message", "a device sends no frames", status=400, fix="send JSON as text"
    )


def _why(error: Exception) -> Failure:
    failure = failure_of(error)
    if failure is None:
        log_exception("an agent's device failed", error)
        return unexpected()
    return failure
