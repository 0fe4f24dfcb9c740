"""The end of a service: what was begun is answered, what comes after is told to ask again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.websockets import WebSocket

from persona_ray.serving.failures import Failure, refuse_websocket

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

ENDING = Failure(
    503,
    "service.ending",
    "the service is ending",
    fix="ask again once it is back",
    retry_after_s=10.0,
)


class Traffic:
    """The requests of one ingress replica, and its lines (WebSockets). Lines are not waited for:
    live calls are told to come again, and go on with another replica, or after the end."""

    def __init__(self) -> None:
        self.requests = 0
        self.lines = 0
        self.ending = False


class Ending:
    """Counts requests; once the service is ending, new ones are refused."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._traffic.ending:
            await _refuse(scope, receive, send)
        elif scope["type"] == "websocket":
            self._traffic.lines += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._traffic.lines -= 1
        else:
            self._traffic.requests += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._traffic.requests -= 1


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    scope["state"]["error_code"] = ENDING.code
    if scope["type"] == "websocket":
        await refuse_websocket(WebSocket(scope, receive, send), ENDING)
    else:
        await ENDING.response()(scope, receive, send)
