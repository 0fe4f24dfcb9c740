"""What one request may cost: its body and its time, held to while it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from persona_ray.serving.failures import Failure

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Refuses a body of more than `max_bytes` with 413: by its announced length, or as soon as more
    has come. What came before is on disk at most, never in memory as a whole."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            scope.setdefault("state", {})["error_code"] = "request.too_large"
            await self._failure().response()(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                # This kind alone passes through FastAPI's reading of bodies.
                raise HTTPException(413, self._failure().message)
            return message

        await self._app(scope, limited, send)

    def _failure(self) -> Failure:
        return Failure(
            413,
            "request.too_large",
            f"the request has more than {self._max_bytes / 1e6:g} MB",
            fix="send fewer or shorter recordings, or name them by URI (POST /v1/jobs)",
        )


class TimeLimit:
    """Answers 408 where a request is not answered within `seconds`."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive, noting)
        except TimeoutError:
            # Another's time-out is no business of this one; half an answer cannot be taken back.
            if not limit.expired() or started:
                raise
            scope.setdefault("state", {})["error_code"] = "request.timeout"
            failure = Failure(
                408,
                "request.timeout",
                f"the request took more than {self._seconds:g} s",
                fix="send less at once, or use POST /v1/jobs",
            )
            await failure.response()(scope, receive, send)
