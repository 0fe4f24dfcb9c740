"""`/v1/twilio`: a live call as Twilio Media Streams sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, WebSocket
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect

from persona_ray.errors import RequestError
from persona_ray.serving.failures import websocket_only
from persona_ray.serving.live.connection import part
from persona_ray.serving.live.twilio import TwilioLine

if TYPE_CHECKING:
    from persona_ray.serving.application import Services
    from persona_ray.serving.live.hub import LiveCalls


def twilio(services: Services, calls: LiveCalls) -> APIRouter:
    """A stream is one of `calls`, its id is its `streamSid`."""
    router = APIRouter()

    @router.websocket("/v1/twilio")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        line = TwilioLine(websocket, services.config.serving.live.idle_timeout_s)
        try:
            start, parameters = await line.begun()
            named = _with_key(websocket, parameters.key)
            caller = await services.gate.admit(named, "live")
        except WebSocketDisconnect:
            return
        except RequestError as error:
            await part(line, None, 0, error)
            return
        line.admitted_by(lambda: services.gate.still_admits(named, "live"))
        await calls.hold(line, caller.name, start)

    @router.get("/v1/twilio", include_in_schema=False)
    async def plain() -> None:
        raise websocket_only("/v1/twilio")

    return router


def _with_key(websocket: WebSocket, key: str) -> HTTPConnection:
    """The connection as if it had named the key where others do."""
    if not key or "authorization" in websocket.headers:
        return websocket
    headers = [*websocket.scope["headers"], (b"authorization", b"Bearer " + key.encode())]
    return HTTPConnection({**websocket.scope, "headers": headers})
