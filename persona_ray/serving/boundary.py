"""The outermost shell of the application: trace id, log line, metrics, and the last resort.

Whatever an inner layer did not foresee ends here as a 500 in the one JSON shape. The server behind
gets no exception: it would write the message into a log.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.websockets import WebSocket

from persona_ray.serving.failures import Failure, close_of, refuse_websocket, unexpected
from persona_ray.serving.tracing import FIT, HEADER, REQUEST_ID, trace_id_of
from persona_ray.watch import spans
from persona_ray.watch.logs import log_event, log_exception
from persona_ray.watch.trace_ids import traced

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from persona_ray.serving.metrics import Metrics

# Asked for by machines every few seconds: counted, neither logged nor traced.
_QUIET = frozenset({"/health", "/health/ready", "/metrics"})
# Browsers come by TLS alone for so long, once they did.
_HSTS = "max-age=31536000"
# What nginx logs where the caller left before there was an answer.
_LEFT = 499
_FAILED = unexpected()
_ZERO = Failure(400, "request.malformed", "a zero character in the address", fix="leave it out")


class Boundary:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        # One connection's state is its own; servers may share theirs between requests.
        scope["state"] = dict(scope.get("state", {}))
        headers = Headers(scope=scope)
        with traced(trace_id_of(headers)) as trace_id, _span(scope, headers) as span:
            request_id = headers.get(REQUEST_ID, "")
            if request_id != trace_id and FIT.match(request_id):
                scope["state"]["request_id"] = request_id
            answer = _Answer(send, trace_id, scope.get("scheme") in ("https", "wss"))
            begun = time.perf_counter()
            try:
                await self._pass(scope, receive, answer)
            except asyncio.CancelledError:
                answer.status = answer.status or _LEFT
                raise
            finally:
                self._note(scope, answer.status, time.perf_counter() - begun, span)

    async def _pass(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            if _has_zero(scope):
                await _refuse(scope, receive, answer, _ZERO)
            else:
                await self._app(scope, receive, answer.send)
        except Exception as error:
            scope["state"]["error_code"] = _FAILED.code
            log_exception("request failed", error, route=_route(scope))
            await _refuse(scope, receive, answer, _FAILED)

    def _note(self, scope: Scope, status: int, seconds: float, span: spans.Span) -> None:
        route, state = _route(scope), scope["state"]
        method = str(scope.get("method", "WEBSOCKET"))
        code = str(state.get("error_code", ""))
        span.rename(f"{method} {route}")
        span.note(route=route, method=method, status=status, code=code or None)
        # Half an answer, and a live call, had another status before they failed.
        if status >= 500 or code == _FAILED.code:
            span.failed(code)
        self._metrics.request(route, method, status, seconds)
        if code:
            self._metrics.refused(code)
        if route not in _QUIET or status >= 400:
            log_event(
                "request",
                route=route,
                method=method,
                status=status,
                seconds=round(seconds, 4),
                code=code,
                key_id=str(state.get("key_id", "")),
                request_id=str(state.get("request_id", "")),
            )


class _Answer:
    """Notes the status that was sent; puts the trace id beside it, and what browsers are to heed.
    `sealed`: over TLS, which this process sees where Serve's proxy ends it."""

    def __init__(self, send: Send, trace_id: str, sealed: bool) -> None:
        self._send = send
        self._trace_id = trace_id
        self._sealed = sealed
        self.status = 0
        self.closed = False

    async def send(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[HEADER] = self._trace_id
            # Pages and their assets say more, and other things of caches.
            headers.setdefault("x-content-type-options", "nosniff")
            headers.setdefault("cache-control", "no-store")
            if self._sealed:
                headers.setdefault("strict-transport-security", _HSTS)
        elif message["type"] == "websocket.accept":
            self.status = 101
            message.setdefault("headers", [])
            MutableHeaders(scope=message)[HEADER] = self._trace_id
        elif message["type"] == "websocket.close":
            self.status = self.status or 403
            self.closed = True
        await self._send(message)


def _span(scope: Scope, headers: Headers) -> AbstractContextManager[spans.Span]:
    if scope["path"].removeprefix(scope.get("root_path", "")) in _QUIET:
        return spans.SILENT
    return spans.received("request", headers.get(spans.TRACEPARENT, ""))


def _has_zero(scope: Scope) -> bool:
    """A zero character in the address: no text holds one, and not every database takes it."""
    return "\x00" in scope["path"] or b"%00" in scope.get("query_string", b"")


async def _refuse(scope: Scope, receive: Receive, answer: _Answer, failure: Failure) -> None:
    if scope["type"] == "websocket":
        if not answer.status:
            await refuse_websocket(WebSocket(scope, receive, answer.send), failure)
        elif not answer.closed:
            code, reason = close_of(failure)
            await answer.send({"type": "websocket.close", "code": code, "reason": reason})
    elif not answer.status:
        await failure.response()(scope, receive, answer.send)
    else:
        # Half an answer is out: only a broken connection tells the client. Without the cause, which
        # a server would log with its message.
        raise ConnectionAbortedError("the answer broke off") from None


def _route(scope: Scope) -> str:
    """The route's template: a path itself may hold ids."""
    return str(getattr(scope.get("route"), "path", "none"))
