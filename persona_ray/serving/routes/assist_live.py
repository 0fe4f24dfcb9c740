"""The line of an assisted call: `/v1/assist/calls` (WebSocket)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from persona_ray.errors import RequestError
from persona_ray.serving.assist.hub import AssistedCalls
from persona_ray.serving.assist.protocol import Start, read_message
from persona_ray.serving.assist.services import agent_of
from persona_ray.serving.gate import chosen_subprotocol
from persona_ray.serving.live.connection import Line, part, start_first

if TYPE_CHECKING:
    from persona_ray.serving.assist.services import AssistServices


def assist_live(services: AssistServices) -> APIRouter:
    """An agent's key (scope `assist`) is for his own calls; an operator's for any agent's."""
    router = APIRouter(prefix="/v1/assist", tags=["assist"])
    calls = AssistedCalls(services)

    @router.websocket("/calls")
    async def call(websocket: WebSocket) -> None:
        caller = await services.gate.admit(websocket, "assist")
        await websocket.accept(subprotocol=chosen_subprotocol(websocket))
        line = Line(websocket, services.config.serving.live.idle_timeout_s)
        line.admitted_by(lambda: services.gate.still_admits(websocket, "assist"))
        try:
            start = await _start(line)
            agent_id = agent_of(caller, start.agent_id)
        except WebSocketDisconnect:
            return
        except RequestError as error:
            await part(line, None, 0, error)
            return
        await calls.hold(line, agent_id, start)

    return router


async def _start(line: Line) -> Start:
    message = await line.receive()
    if isinstance(message, bytes):
        raise start_first("a frame")
    start = read_message(message)
    if not isinstance(start, Start):
        raise start_first(f"'{start.type}'")
    return start
