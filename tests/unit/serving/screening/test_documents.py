"""The guide's commands of screening do what they say, and OpenAPI shows every route."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from persona_ray.store import Store
from tests.unit.serving.screening.parts import key_of
from tests.unit.serving.test_guide import curls, request_of

WHERE = "http://127.0.0.1:8600"


def test_the_commands_work(repository: Path, client: TestClient, store: Store) -> None:
    guide = (repository / "docs" / "guide.md").read_text(encoding="utf-8")
    text = guide.split("## Screening unknown calls")[1].split("\n## ")[0]
    keys = {
        "KEY": key_of(store)["authorization"].removeprefix("Bearer "),
        "OPERATOR": key_of(store, "desk", "operator")["authorization"].removeprefix("Bearer "),
    }
    commands = curls(text)
    assert len(commands) == 2
    for command in commands:
        method, path, sent = request_of(command.partition(" > ")[0], keys)
        answer = client.request(method, path.removeprefix(WHERE), **sent)
        assert answer.status_code == 200, command


def test_openapi_shows_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in (
        "/v1/screening/events",
        "/v1/screening/calls",
        "/v1/screening/calls/{call_id}",
        "/v1/screening/calls/{call_id}/answer",
        "/v1/screening/calls/{call_id}/correction",
        "/v1/screening/settings",
        "/v1/screening/corrections",
        "/v1/screening/files/{ref}/recording",
    ):
        for operation in paths[path].values():
            assert operation["summary"]
