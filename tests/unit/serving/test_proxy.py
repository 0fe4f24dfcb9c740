"""What the proxy says by itself has the service's shape; what the application says passes."""

from __future__ import annotations

import asyncio
import pkgutil
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from persona_ray.serving.deploy.proxy import ENVIRONMENT, OneShape


def asked(app: ASGIApp, path: str = "/v1/recognitions/clips") -> Any:
    headers = {"x-trace-id": "abc"}
    return TestClient(OneShape(app), raise_server_exceptions=False).post(path, headers=headers)


async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """As the proxy where the replica died."""


async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("the replica's whole traceback")


@pytest.mark.parametrize(
    "app", [silent, broken, PlainTextResponse("Traceback ...", 500)], ids=["none", "raises", "500"]
)
def test_a_request_whose_replica_died_may_be_sent_again(app: ASGIApp) -> None:
    answer = asked(app)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    error = answer.json()["error"]
    assert (error["code"], error["trace_id"]) == ("service.lost", "abc")
    assert "raceback" not in answer.text


@pytest.mark.parametrize(
    ("status", "code"),
    [(503, "service.busy"), (408, "request.timeout"), (404, "request.unknown_path")],
)
def test_plain_refusals_get_the_shape(status: int, code: str) -> None:
    answer = asked(PlainTextResponse("Path not found", status))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)


def test_what_the_application_says_passes() -> None:
    for status in (200, 404, 500, 503):
        said = JSONResponse({"own": status}, status, headers={"x-trace-id": "theirs"})
        answer = asked(said)
        assert (answer.status_code, answer.json()) == (status, {"own": status})
        assert answer.headers["x-trace-id"] == "theirs"
    assert asked(PlainTextResponse("success")).text == "success"
    assert asked(PlainTextResponse("no routes", 503), "/-/healthz").text == "no routes"


def test_half_an_answer_is_not_followed_by_another() -> None:
    async def dies(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("gone")

    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "path": "/", "headers": []}
    with pytest.raises(RuntimeError):
        asyncio.run(OneShape(dies)(scope, _nothing, send))
    assert sent == ["http.response.start", "http.response.body"]


def test_serve_finds_it() -> None:
    named = pkgutil.resolve_name(ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"])
    (found,) = named()
    assert found.cls is OneShape


def test_the_shipped_configuration_says_what_clusters_are_started_with(repository: Path) -> None:
    said = (repository / "serve_configs" / "personality.yaml").read_text(encoding="utf-8")
    for name, value in ENVIRONMENT.items():
        assert f"{name}={value}" in said


async def _nothing() -> Any:
    raise AssertionError("nothing is to be read")
