"""What agents say over REST: taken once, refused with a reason, kept where it is late."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError
from persona_ray.store import Store
from persona_ray.watch.logs import configure_logs
from tests.unit.serving.assist.parts import Fakes, key_of
from tests.unit.serving.assist.pushed import application, begin, push

PUSHES, CALLS = "/v1/assist/pushes", "/v1/assist/calls"


@pytest.fixture
def assist(assist: RunConfig) -> RunConfig:
    """Feedback is late at once."""
    settings = ["assist.feedback.late_s=0.000001", f"workspace={assist.workspace}"]
    return load_config(None, settings)


@pytest.fixture
def client(assist: RunConfig, store: Store, fake: Fakes) -> Iterator[TestClient]:
    with TestClient(application(assist, store, fake)) as opened:
        yield opened


def says(client: TestClient, headers: dict[str, str], push_id: str, **said: Any) -> dict[str, Any]:
    body = {"action": "used", **said}
    answer = client.post(f"{PUSHES}/{push_id}/feedback", json=body, headers=headers)
    found: dict[str, Any] = answer.json()
    return found if answer.is_success else {"status": answer.status_code, **found["error"]}


def came_to(
    client: TestClient, headers: dict[str, str], outcome: str, call_id: str = "k1"
) -> tuple[int, dict[str, Any]]:
    path = f"{CALLS}/{call_id}/outcome"
    answer = client.post(path, json={"outcome": outcome}, headers=headers)
    return answer.status_code, answer.json()


def test_an_outcome_is_added_to_what_was_said(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    call = begin(store)
    first, second = push(store, call), push(store, call)
    assert says(client, key, first)["score"] == 70
    assert says(client, key, second, action="dismissed", rating="fair")["score"] == 50
    status, told = came_to(client, key, "hung_up")
    assert (status, told["counted"], told["rescored"]) == (200, True, 2)
    assert came_to(client, key, "hung_up")[1]["rescored"] == 0
    found = client.get(f"{CALLS}/k1/pushes", headers=key).json()["pushes"]
    assert [(one["push_id"], one["feedback"]["score"]) for one in found] == [
        (first, 55.0),
        (second, 50.0),
    ]
    assert [sample.positive for sample in store.samples.all()] == [False, False]


def test_feedback_for_what_never_was_or_was_never_shown(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    call = begin(store)
    late, mine = push(store, call, left_s=-10.0), push(store, call)
    others = push(store, begin(store, "wang", "k2"))
    assert store.pushes.drop_late(datetime.now(UTC)) == 1
    refused = {
        name: says(client, key, name, script_id=script)
        for name, script in (("nothing", ""), (others, ""), (late, ""), (mine, "s9"))
    }
    assert says(client, key, mine, text="a\x00b")["field"] == "text"
    assert {name: (one["status"], one["code"]) for name, one in refused.items()} == {
        "nothing": (404, "assist.push"),
        others: (403, "assist.agent"),
        late: (409, "assist.not_shown"),
        mine: (422, "assist.script"),
    }
    assert client.post(f"{PUSHES}/{late}/seen", headers=key).status_code == 409
    assert client.post(f"{PUSHES}/{mine}/seen", headers=key).json()["state"] == "seen"
    assert store.samples.new() == 0


def test_late_feedback_is_kept_and_not_counted(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    push_id = push(store, begin(store), ended=True)
    taken = says(client, key, push_id, rating="excellent")
    assert (taken["score"], taken["counted"]) == (80, False)
    assert came_to(client, key, "agreed")[1]["counted"] is False
    (found,) = client.get(f"{CALLS}/k1/pushes", headers=key).json()["pushes"]
    assert (found["feedback"]["rating"], found["feedback"]["counted"]) == ("excellent", False)
    assert store.samples.new() == 0


def test_an_operator_speaks_for_an_agent_and_nobody_else_does(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    push_id = push(store, begin(store))
    operator, other = key_of(store, "desk", "assist", "operator"), key_of(store, "wang")
    assert says(client, operator, push_id)["counted"]
    path = f"{CALLS}/k1/pushes"
    assert client.get(path, params={"agent_id": "li"}, headers=operator).status_code == 200
    assert client.get(path, headers=other).status_code == 404
    assert client.get(path, params={"agent_id": "li"}, headers=other).status_code == 403
    assert came_to(client, other, "agreed")[0] == 404
    assert came_to(client, key, "agreed", "k9")[0] == 404


def test_who_is_forgotten_is_forgotten_by_who_may(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    begin(store)
    begin(store, "wang", "k2")

    def forget(headers: dict[str, str], by: str, name: str = "") -> tuple[int, int]:
        asked = {"by": by, "name": name}
        answer = client.post("/v1/assist/forget", json=asked, headers=headers)
        return answer.status_code, answer.json().get("calls", 0)

    assert forget(key, "customer", "c1") == (403, 0)
    assert forget(key, "agent", "wang") == (403, 0)
    assert forget(key, "agent") == (200, 1)
    operator = key_of(store, "desk", "assist", "operator")
    assert forget(operator, "customer") == (422, 0)
    assert forget(operator, "customer", "c1") == (200, 1)


def test_nobodys_words_get_into_logs_or_figures(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    written = io.StringIO()
    configure_logs(written)
    try:
        says(client, key, push(store, begin(store)), action="edited", text="我改过的话")
        says(client, key, "nothing", text="我改过的话")
    finally:
        configure_logs(io.StringIO())
    scraper = key_of(store, "scraper", "metrics")
    figures = client.get("/metrics", headers=scraper).text
    assert 'persona_assist_feedback_total{action="edited"} 1.0' in figures
    assert "assist.push" in written.getvalue()
    for secret in ("我改过的话", "太贵了", "话术", '"li"', '"c1"'):
        assert secret not in written.getvalue()
        assert secret not in figures


def test_the_command_forgets_one_person(store: Store, assist: RunConfig) -> None:
    begin(store)
    begin(store, "wang", "k2")

    def forget(*who: str) -> Any:
        command = ["assist", "forget", "--yes", "--set", f"workspace={assist.workspace}", *who]
        return CliRunner().invoke(app, command)

    for unclear in (forget(), forget("--customer", "c1", "--agent", "li")):
        assert isinstance(unclear.exception, ConfigError)
    assert forget("--agent", "li").output == "forgotten: 1 calls\n"
    assert forget("--customer", "c1").output == "forgotten: 1 calls\n"
