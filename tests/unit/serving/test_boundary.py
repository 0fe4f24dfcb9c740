"""One shape for every error, a trace id on every answer, and nothing personal in a log."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Request, WebSocket
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from persona_ray import errors
from persona_ray.config import load_config
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.boundary import Boundary
from persona_ray.serving.metrics import Metrics
from persona_ray.store import Store
from persona_ray.watch.logs import configure_logs, log_event
from persona_ray.watch.trace_ids import current_trace_id
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.test_metrics import values

SECRET = "客户张三的话"


class Body(BaseModel):
    names: list[str] = Field(max_length=2)


def routes(raised: list[Exception]) -> Any:
    def build(_: Services) -> APIRouter:
        router = APIRouter()

        @router.get("/raise/{number}")
        async def fail(number: int) -> str:
            raise raised[number]

        @router.post("/body")
        async def body(body: Body) -> int:
            return len(body.names)

        @router.post("/stream")
        async def stream(request: Request) -> int:
            return sum([len(chunk) async for chunk in request.stream()])

        @router.get("/slow")
        async def slow() -> None:
            await asyncio.sleep(30)

        @router.get("/trace")
        async def trace() -> list[str]:
            return [current_trace_id(), await asyncio.to_thread(current_trace_id)]

        @router.websocket("/socket")
        async def socket(websocket: WebSocket) -> None:
            await websocket.accept()
            raise raised[int(await websocket.receive_text())]

        return router

    return build


class RayWrapped(errors.TruncatedError):
    """As Ray hands on what a replica raised: the message is a traceback."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"Traceback (most recent call last): {SECRET}")
        self.cause = cause


CASES: list[tuple[Exception, int, str]] = [
    (errors.NotAudioError("a.wav is no audio"), 422, "audio.not_audio"),
    (errors.TruncatedError("a.wav ends\nafter 1 s"), 422, "audio.truncated"),
    (errors.TooLongError("a.wav lasts 9 h"), 413, "audio.too_long"),
    (errors.ChannelError("one channel"), 422, "audio.channel"),
    (errors.RequestError("clip.text", "no", status=422, field="texts", fix="so"), 422, "clip.text"),
    (errors.ServiceBusyError("full"), 503, "service.busy"),
    (errors.ServiceLostError("gone"), 503, "service.lost"),
    (errors.ServiceError("deployment 'asr' is gone"), 503, "service.unavailable"),
    (errors.StoreError(f"store sqlite:///{SECRET}"), 503, "service.store"),
    (RayWrapped(errors.TruncatedError("a.wav ends")), 422, "audio.truncated"),
    (errors.RecognitionError(SECRET), 500, "service.recogniser"),
    (errors.ConfigError(SECRET), 500, "service.failed"),
    (ValueError(SECRET), 500, "service.failed"),
    (OSError(errno.ENOSPC, SECRET), 503, "service.disk"),
    (OSError(errno.EIO, SECRET), 500, "service.failed"),
]


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logs(stream)
    yield stream
    configure_logs(io.StringIO())


def made(store: Store, *overrides: str) -> TestClient:
    services = Services(load_config(None, overrides), FakeService(), store)
    return TestClient(build_app(services, [routes([error for error, _, _ in CASES])]))


@pytest.fixture
def client(store: Store) -> TestClient:
    return made(store, "serving.limits.max_upload_mb=0.001")


@pytest.mark.parametrize("number", range(len(CASES)))
def test_every_error_has_one_shape(client: TestClient, log: io.StringIO, number: int) -> None:
    _, status, code = CASES[number]
    answer = client.get(f"/raise/{number}")
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "field", "fix", "trace_id"}
    assert error["code"] == code
    assert error["message"]
    assert error["fix"]
    assert "\n" not in error["message"]
    assert error["trace_id"] == answer.headers["x-trace-id"]
    assert ("retry-after" in answer.headers) == (status == 503)
    # What is ours is told to nobody, and what people said not even to the log.
    assert SECRET not in answer.text
    assert SECRET not in log.getvalue()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {line["trace_id"] for line in lines} == {error["trace_id"]}
    assert [line["code"] for line in lines if line["event"] == "request"] == [code]
    if code == "service.failed":
        (failed,) = (line for line in lines if line["event"] == "request failed")
        assert failed["error"] == type(CASES[number][0]).__name__
        assert any("test_boundary.py" in place for place in failed["places"])


def test_an_error_on_an_open_websocket_closes_it_with_its_code(client: TestClient) -> None:
    for number, close in ((1, 4422), (5, 4503), (12, 4500)):
        with client.websocket_connect("/socket") as socket:
            socket.send_text(str(number))
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
        assert closed.value.code == close
        assert closed.value.reason.startswith(CASES[number][2])
        assert SECRET not in closed.value.reason


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("begun", "status", "code"), [(True, "200", "service.failed"), (False, "499", "")]
)
async def test_what_breaks_off_is_counted_and_logged(
    log: io.StringIO, begun: bool, status: str, code: str
) -> None:
    """An answer that fails half way, and a caller who leaves before there is any."""

    async def inner(_: Scope, __: Receive, send: Send) -> None:
        if not begun:
            raise asyncio.CancelledError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(SECRET)

    async def send(_: Message) -> None:
        """Somebody gets it."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    metrics = Metrics()
    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
    with pytest.raises(ConnectionAbortedError if begun else asyncio.CancelledError):
        await Boundary(inner, metrics)(scope, receive, send)
    assert values(metrics, "persona_requests_total") == {f"GET,none,{status}": 1}
    assert values(metrics, "persona_refused_total") == ({code: 1} if code else {})
    line = json.loads(log.getvalue().splitlines()[-1])
    assert (line["event"], str(line["status"]), line["code"]) == ("request", status, code)


def test_requests_that_fit_no_route_have_the_shape(client: TestClient) -> None:
    for answer, status, code in (
        (client.get("/nothing"), 404, "request.unknown_path"),
        (client.put("/body"), 405, "request.method"),
        (client.post("/body", json={"names": ["x"] * 3}), 422, "request.invalid"),
        (client.post("/body", json={"names": ["a", 5]}), 422, "request.invalid"),
        (client.post("/body", content=b"{"), 422, "request.invalid"),
        (client.get("/raise/one"), 422, "request.invalid"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    error = client.post("/body", json={"names": ["a", 5]}).json()["error"]
    assert error["field"] == "names[1]"
    assert error["message"].startswith("names[1]: ")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_is_refused_as_soon_as_it_is_too_large(client: TestClient, announced: bool) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(10_000):
            yield b"x" * 100

    assert client.post("/stream", content=b"x" * 1000).json() == 1000
    # What FastAPI reads by itself is held to it too.
    for path in ("/stream", "/body"):
        content: Any = b"x" * 1001 if announced else endless()
        answer = client.post(path, content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request.too_large")


def test_a_request_that_takes_too_long_is_answered_with_408(store: Store) -> None:
    answer = made(store, "serving.limits.request_timeout_s=0.2").get("/slow")
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "request.timeout")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ),
        ({"x-trace-id": "ticket-17.b"}, "ticket-17.b"),
        ({"x-request-id": "a-request-of-serve"}, "a-request-of-serve"),
        ({"x-trace-id": "ours", "x-request-id": "a-request-of-serve"}, "ours"),
        ({"x-trace-id": 'a" injected'}, None),
        ({"x-trace-id": "x" * 65}, None),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, None),
        ({}, None),
    ],
)
def test_the_trace_id_is_the_clients_or_a_new_one(
    client: TestClient, headers: dict[str, str], expected: str | None
) -> None:
    answer = client.get("/trace", headers=headers)
    inside, in_thread = answer.json()
    assert inside == in_thread == answer.headers["x-trace-id"]
    if expected is None:
        assert re.fullmatch("[0-9a-f]{32}", inside)
        assert client.get("/trace").json()[0] != inside
    else:
        assert inside == expected
    assert current_trace_id() == ""


def test_the_request_id_of_serve_is_logged_beside_another_trace_id(
    client: TestClient, log: io.StringIO
) -> None:
    client.get("/trace", headers={"x-trace-id": "ours", "x-request-id": "serves"})
    (line,) = (json.loads(line) for line in log.getvalue().splitlines())
    assert (line["trace_id"], line["request_id"]) == ("ours", "serves")


def test_a_log_takes_no_field_that_is_not_on_the_list() -> None:
    with pytest.raises(ValueError, match="'text' is no field"):
        log_event("sentence", text=SECRET)


@pytest.mark.anyio
async def test_at_the_end_what_was_begun_is_answered_and_the_rest_refused(store: Store) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    def build(_: Services) -> APIRouter:
        router = APIRouter()

        @router.get("/wait")
        async def wait() -> str:
            began.set()
            await go.wait()
            return "answered"

        return router

    app = build_app(Services(load_config(None), FakeService(), store), [build])
    traffic = app.state.traffic
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://test"
    ) as client:
        begun = asyncio.create_task(client.get("/wait"))
        await began.wait()
        traffic.ending = True
        assert traffic.requests == 1
        late = await client.get("/wait")
        assert (late.status_code, late.json()["error"]["code"]) == (503, "service.ending")
        assert late.headers["retry-after"] == "10"
        go.set()
        assert (await begun).json() == "answered"
    assert traffic.requests == 0
