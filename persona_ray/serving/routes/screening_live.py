"""The lines of screening: a call's sound both ways, and notices to a user."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from persona_ray.errors import RequestError
from persona_ray.serving.failures import websocket_only
from persona_ray.serving.gate import chosen_subprotocol
from persona_ray.serving.live.connection import NORMAL, Line, part, start_first
from persona_ray.serving.screening.desk import Desk
from persona_ray.serving.screening.hub import CallLine, ScreeningCalls
from persona_ray.serving.screening.protocol import (
    NoticeEvent,
    Start,
    Subscribe,
    read_message,
    read_subscription,
)
from persona_ray.serving.screening.services import user_of

if TYPE_CHECKING:
    from persona_ray.serving.screening.services import ScreeningServices

# Notices of another replica are seen after so long; those of this one at once.
_LOOK_EVERY_S = 0.5


def screening_live(services: ScreeningServices) -> APIRouter:
    """/v1/screening/calls and /v1/screening/notices (WebSocket)."""
    router = APIRouter(prefix="/v1/screening", tags=["screening"])
    calls = ScreeningCalls(services, Desk(services))
    idle_s = services.config.serving.live.idle_timeout_s

    @router.websocket("/calls")
    async def call(websocket: WebSocket) -> None:
        caller = await services.gate.admit(websocket, "screen")
        await websocket.accept(subprotocol=chosen_subprotocol(websocket))
        line = CallLine(websocket, idle_s)
        line.admitted_by(lambda: services.gate.still_admits(websocket, "screen"))
        try:
            start = await _start(line)
            user_id = user_of(caller, start.user_id)
        except WebSocketDisconnect:
            return
        except RequestError as error:
            await part(line, None, 0, error)
            return
        await calls.hold(line, user_id, start)

    @router.get("/notices", include_in_schema=False)
    async def plain() -> None:
        raise websocket_only("/v1/screening/notices")

    @router.websocket("/notices")
    async def notices(websocket: WebSocket) -> None:
        caller = await services.gate.admit(websocket, "screening")
        await websocket.accept(subprotocol=chosen_subprotocol(websocket))
        line = Line(websocket, idle_s)
        line.admitted_by(lambda: services.gate.still_admits(websocket, "screening"))
        try:
            asked = await _subscription(line)
            await _notify(line, services, user_of(caller, asked.user_id), asked)
        except WebSocketDisconnect:
            return
        except Exception as error:
            await part(line, None, 0, error)

    return router


async def _notify(line: Line, services: ScreeningServices, user_id: str, asked: Subscribe) -> None:
    """Until the client goes."""
    gone = asyncio.create_task(_gone(line))
    watching = asyncio.create_task(line.watch())
    try:
        kept = services.store.screening_notices
        last = asked.after
        if last is None:
            last = await asyncio.to_thread(kept.last, user_id)
        while not gone.done() and not watching.done():
            for notice in await asyncio.to_thread(kept.after, user_id, last):
                last = notice.number
                event = NoticeEvent(
                    number=notice.number,
                    kind=notice.kind,
                    call_id=notice.call_id,
                    at=notice.at,
                    body=dict(notice.body),
                )
                await line.send_text(event.model_dump_json())
            await asyncio.wait({gone, watching}, timeout=_LOOK_EVERY_S)
        if watching.done():
            watching.result()
        gone.result()
        await line.close(NORMAL)
    finally:
        gone.cancel()
        watching.cancel()
        await asyncio.gather(gone, watching, return_exceptions=True)


async def _gone(line: Line) -> None:
    """Until the client closes the line; whatever else it says is passed over."""
    while True:
        try:
            await line.receive()
        except RequestError:
            # It need not say anything.
            continue


async def _start(line: Line) -> Start:
    message = await line.receive()
    if isinstance(message, bytes):
        raise start_first("a frame")
    start = read_message(message)
    if not isinstance(start, Start):
        raise start_first("end")
    return start


async def _subscription(line: Line) -> Subscribe:
    message = await line.receive()
    if isinstance(message, bytes):
        raise start_first("a frame")
    return read_subscription(message)
