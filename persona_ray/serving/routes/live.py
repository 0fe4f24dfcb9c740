"""Live calls: `/v1/live` and `/v1/twilio` (WebSocket), and what is kept of one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, WebSocket
from pydantic import BaseModel, JsonValue
from starlette.websockets import WebSocketDisconnect

from persona_ray.errors import RequestError
from persona_ray.serving.documents import ERRORS
from persona_ray.serving.failures import websocket_only
from persona_ray.serving.gate import Caller, chosen_subprotocol
from persona_ray.serving.live.connection import Line, part, start_first
from persona_ray.serving.live.hub import LiveCalls, unknown_call
from persona_ray.serving.live.protocol import Start, read_message
from persona_ray.serving.routes.twilio import twilio
from persona_ray.store.live_calls import UnknownLiveCallError

if TYPE_CHECKING:
    from persona_ray.serving.application import Services

_CallId = Annotated[str, Path(max_length=128, description="as `start` named it")]


class LiveCallAnswer(BaseModel):
    """A live call as far as it is settled. `results` are its `sentence` events, and `error` events
    where something could not be judged, in order."""

    call_id: str
    ended: bool
    results: list[dict[str, JsonValue]]


def live_calls(services: Services) -> APIRouter:
    """Calls are known by the name of the key that began them: another key's are not there."""
    router = APIRouter(tags=["live"], responses=ERRORS)
    calls = LiveCalls(services)
    kept = services.store.live_calls
    admitted = Depends(services.gate.requires("live"))

    @router.websocket("/v1/live")
    async def live(websocket: WebSocket) -> None:
        caller = await services.gate.admit(websocket, "live")
        await websocket.accept(subprotocol=chosen_subprotocol(websocket))
        line = Line(websocket, services.config.serving.live.idle_timeout_s)
        line.admitted_by(lambda: services.gate.still_admits(websocket, "live"))
        try:
            start = await _start(line)
        except WebSocketDisconnect:
            return
        except RequestError as error:
            await part(line, None, 0, error)
            return
        await calls.hold(line, caller.name, start)

    @router.get("/v1/live", include_in_schema=False)
    async def plain() -> None:
        raise websocket_only("/v1/live")

    @router.get("/v1/live/{call_id}")
    async def settled(call_id: _CallId, caller: Caller = admitted) -> LiveCallAnswer:
        """What is settled of a live call, while it goes on or until it expires."""
        try:
            record = await asyncio.to_thread(kept.get, caller.name, call_id)
        except UnknownLiveCallError:
            raise unknown_call(call_id, "call_id") from None
        bodies = await asyncio.to_thread(kept.results, caller.name, call_id)
        results = [json.loads(body) for body in bodies]
        return LiveCallAnswer(call_id=call_id, ended=record.ended, results=results)

    @router.delete("/v1/live/{call_id}", status_code=204)
    async def forget(call_id: _CallId, caller: Caller = admitted) -> None:
        """Delete what is kept of a live call; one that goes on is broken off."""
        try:
            await asyncio.to_thread(kept.delete, caller.name, call_id)
        except UnknownLiveCallError:
            raise unknown_call(call_id, "call_id") from None

    router.include_router(twilio(services, calls))
    return router


async def _start(line: Line) -> Start:
    message = await line.receive()
    if isinstance(message, bytes):
        raise start_first("a frame")
    start = read_message(message)
    if not isinstance(start, Start):
        raise start_first("end")
    return start
