"""What Serve's proxy says by itself, said in the service's one shape of errors.

Where the ingress dies under a request, the proxy answers 500 in plain text, though the request may
be sent again; a full queue, a deployment that is away and its own time-out it answers in plain
text, too. Serve takes this from the environment of the cluster's processes (`ENVIRONMENT`), which
`persona-ray serve` sets for the cluster that it starts; `ray start` must be given it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.middleware import Middleware

from persona_ray.serving.failures import Failure
from persona_ray.serving.tls import harden
from persona_ray.serving.tracing import HEADER, trace_id_of
from persona_ray.watch.trace_ids import traced

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENVIRONMENT = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{__name__}:middlewares",
    # Serve starts a new proxy after three checks that failed: 3 s without one, by default 30 s.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    # Ray gives its workers 15: beside any other program callers would wait for everything else.
    "RAY_worker_niceness": "0",
}
# Asked by Serve's own tools, such as load balancers' probes.
_OF_SERVE = "/-/"
_LOST = Failure(
    503,
    "service.lost",
    "the replica that had the request was lost",
    fix="send the request again",
    retry_after_s=1.0,
)
_SAID = {
    404: Failure(
        404, "request.unknown_path", "there is nothing at this address", fix="see /openapi.json"
    ),
    408: Failure(408, "request.timeout", "the request took too long", fix="send less at once"),
    503: Failure(
        503,
        "service.busy",
        "the service is full, or starting",
        fix="send the request again later",
        retry_after_s=1.0,
    ),
}


def middlewares() -> list[Middleware]:
    """Serve asks for them when a proxy starts, before it listens."""
    harden()
    return [Middleware(OneShape)]


class OneShape:
    """Wraps the proxy. The application's own answers, known by their trace id, pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OF_SERVE):
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            if answer.begun:
                raise
        if not answer.begun:
            with traced(trace_id_of(Headers(scope=scope))):
                failure = _SAID.get(answer.held_back, _LOST)
                await failure.response()(scope, receive, send)


class _Answer:
    """Passes an answer on, but for one that the proxy made up (`held_back`: its status)."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.held_back = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            status = int(message["status"])
            if status >= 400 and HEADER not in Headers(raw=message.get("headers", [])):
                self.held_back = status
            else:
                self.begun = True
        if self.begun:
            await self._send(message)
