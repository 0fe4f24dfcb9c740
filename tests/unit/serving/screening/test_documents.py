"""The guide's commands of screening do what they say, OpenAPI shows every route, logs nothing."""

from __future__ import annotations

import io
from pathlib import Path

from fastapi.testclient import TestClient

from persona_ray.store import Store
from persona_ray.watch.logs import configure_logs
from tests.unit.serving.screening.parts import (
    FRAUD,
    SAID,
    Fakes,
    Heard,
    key_of,
    line,
    listen,
    over,
    whole,
)
from tests.unit.serving.test_guide import curls, request_of

NUMBER = "+8613800138000"
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


def test_nobodys_number_or_words_get_into_logs_or_figures(
    client: TestClient, key: dict[str, str], fake: Fakes, store: Store
) -> None:
    written = io.StringIO()
    configure_logs(written)
    try:
        fake.ears.texts = [FRAUD]
        with line(client, key, number=NUMBER) as (socket, _):
            listen(socket, Heard(), over)
            for one in SAID:
                socket.send_bytes(one)
            listen(socket, Heard(), whole)
        path = "/v1/screening/calls/k1"
        client.post(f"{path}/correction", json={"category": "delivery"}, headers=key)
        links = client.get(path, headers=key).json()["links"]
        client.get(links["transcript"])
        client.delete(path, headers=key)
    finally:
        configure_logs(io.StringIO())
    scraper = key_of(store, "scraper", "metrics")
    figures = client.get("/metrics", headers=scraper).text
    assert 'persona_screened_total{outcome="hung_up"} 1.0' in figures
    assert "persona_screening_decision_seconds_count 1.0" in figures
    logs = written.getvalue()
    assert '"event": "screened call"' in logs
    for text in (logs, figures):
        for secret in (NUMBER, NUMBER[1:], FRAUD, "signature=", '"li"', "delivery"):
            assert secret not in text
