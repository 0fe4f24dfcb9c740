"""Screened calls over REST: whose they are, corrections, settings, what is deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.corpus.dialogues import read_dialogues
from persona_ray.inference.screening.records import Known, Origin, Standing
from persona_ray.store import Store
from tests.unit.serving.screening.parts import (
    FRAUD,
    SAID,
    Fakes,
    Heard,
    application,
    key_of,
    line,
    listen,
    over,
    whole,
)

NUMBER = "+8613800138000"


def handed(client: TestClient, headers: dict[str, str], **event: Any) -> Any:
    body = {"call_id": "k1", "number": NUMBER, **event}
    return client.post("/v1/screening/events", json=body, headers=headers)


def screened(client: TestClient, headers: dict[str, str], fake: Fakes, call_id: str = "k1") -> None:
    """A whole call, in which a fraud is hung up on."""
    fake.ears.texts = [FRAUD]
    heard = Heard()
    with line(client, headers, call_id, number=NUMBER) as (socket, _):
        listen(socket, heard, over)
        for one in SAID:
            socket.send_bytes(one)
        listen(socket, heard, whole)
    assert heard.closed == 1000


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_key_is_its_users_alone(client: TestClient, store: Store, key: dict[str, str]) -> None:
    other, operator = (
        key_of(store, "wang"),
        key_of(store, "desk", "screen", "screening", "operator"),
    )
    assert handed(client, key).status_code == 200
    assert code(client.get("/v1/screening/calls/k1", headers=other)) == (404, "screening.unknown")
    assert code(handed(client, other, user_id="li")) == (403, "screening.user")
    asked = {"user_id": "li"}
    assert code(client.get("/v1/screening/calls", params=asked, headers=other))[0] == 403
    assert client.get("/v1/screening/calls/k1", params=asked, headers=operator).status_code == 200
    assert handed(client, operator, user_id="zhao", call_id="k2").status_code == 200
    for scope, path in (("screen", "/v1/screening/calls"), ("screening", "/v1/screening/events")):
        short = key_of(store, "li", scope)
        sent = client.get(path, headers=short) if scope == "screen" else handed(client, short)
        assert code(sent) == (403, "key.scope")


def test_the_same_event_is_the_same_call(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    first = handed(client, key, number="138 0013 8000").json()
    # The sets have changed since: the first answer stands.
    fake.sources.known[NUMBER] = Known(NUMBER, Standing.ILLEGAL, "", "", "", Origin.USER, None)
    again = handed(client, key).json()
    assert again["action"] == first["action"] == "screen"
    assert code(handed(client, key, number="+8613900139000")) == (409, "screening.exists")
    # Switches pass on what callers make up: such a call is screened like one that hides.
    for call_id, number in (("k2", "not a number"), ("k3", "")):
        assert handed(client, key, call_id=call_id, number=number).json()["action"] == "screen"
        kept = client.get(f"/v1/screening/calls/{call_id}", headers=key).json()
        assert kept["number"] == ""


def test_a_correction_moves_the_call_and_becomes_a_sample(
    client: TestClient, key: dict[str, str], fake: Fakes, store: Store, tmp_path: Any
) -> None:
    screened(client, key, fake)
    path = "/v1/screening/calls/k1/correction"
    assert code(client.post(path, json={"category": "nonsense"}, headers=key)) == (
        422,
        "screening.category",
    )
    made = client.post(path, json={"category": "delivery"}, headers=key).json()
    assert (made["before"], made["category"], made["by"]) == ("account_fraud", "delivery", "li")
    call = client.get("/v1/screening/calls/k1", headers=key).json()
    assert (call["category"], call["said"], call["corrected"]) == (
        "delivery",
        "account_fraud",
        True,
    )
    assert call["standing"] == "normal"
    assert [one["model"] for one in call["corrections"]] == ["words 1"]
    (told,) = fake.noted.corrections
    assert (told.category, told.standing, told.call.number) == ("delivery", "normal", NUMBER)
    listed = client.get("/v1/screening/calls", params={"category": "delivery"}, headers=key)
    assert len(listed.json()["calls"]) == 1

    assert code(client.get("/v1/screening/corrections", headers=key)) == (403, "key.scope")
    operator = key_of(store, "desk", "operator")
    answer = client.get("/v1/screening/corrections", headers=operator)
    file = tmp_path / "samples.jsonl"
    file.write_bytes(answer.content)
    (dialogue,) = read_dialogues([file])
    assert (dialogue.category, dialogue.caller) == ("delivery", (FRAUD,))
    sample = json.loads(answer.text)
    assert sample["lineage"]["before"] == "account_fraud"
    assert sample["lineage"]["model"] == "words 1"
    # It names neither the caller nor the user.
    assert NUMBER not in answer.text
    assert '"li"' not in answer.text


def test_a_call_that_goes_on_is_not_corrected(client: TestClient, key: dict[str, str]) -> None:
    handed(client, key)
    path = "/v1/screening/calls/k1/correction"
    refused = client.post(path, json={"category": "delivery"}, headers=key)
    assert code(refused) == (409, "screening.unfinished")


def test_what_a_user_wants_gets_through(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    known = Known(NUMBER, Standing.ABNORMAL, "loans", "", "", Origin.USER, None)
    fake.sources.known[NUMBER] = known
    assert handed(client, key).json()["action"] == "ask"
    path = "/v1/screening/settings"
    assert client.get(path, headers=key).json()["chosen"] is False
    illegal = client.put(path, json={"wanted": ["prize_fraud"]}, headers=key)
    assert code(illegal) == (422, "screening.category")
    chosen = client.put(path, json={"wanted": ["loans"]}, headers=key).json()
    assert (chosen["wanted"], chosen["chosen"]) == (["loans"], True)
    assert handed(client, key, call_id="k2").json()["action"] == "pass"
    client.put(path, json={"wanted": None}, headers=key)
    assert handed(client, key, call_id="k3").json()["action"] == "ask"


def test_what_is_deleted_is_gone_with_its_recording(
    client: TestClient, key: dict[str, str], fake: Fakes, store: Store, screening: RunConfig
) -> None:
    folder = screening.workspace / "screening/recordings"
    for call_id in ("k1", "k2", "k3"):
        screened(client, key, fake, call_id)
    links = client.get("/v1/screening/calls/k1", headers=key).json()["links"]
    assert len(list(folder.rglob("call.ogg"))) == 3
    assert client.delete("/v1/screening/calls/k1", headers=key).status_code == 204
    assert client.get(links["recording"]).status_code == 404
    assert code(client.delete("/v1/screening/calls/k1", headers=key))[0] == 404
    by_number = {"number": NUMBER}
    refused = client.delete("/v1/screening/calls", params=by_number, headers=key)
    assert code(refused) == (403, "key.scope")
    operator = key_of(store, "desk", "screening", "operator")
    gone = client.delete("/v1/screening/calls", params=by_number, headers=operator).json()
    assert gone == {"calls": 2, "recordings": 2}
    assert fake.noted.deleted == [("li", "k1"), ("li", "k2"), ("li", "k3")]
    assert list(folder.rglob("*.*")) == []
    assert client.delete("/v1/screening/calls", headers=key).json()["calls"] == 0


def test_the_inbox_is_read_page_by_page(client: TestClient, key: dict[str, str]) -> None:
    for number in range(5):
        handed(client, key, call_id=f"k{number}", at=f"2026-03-01T09:0{number}:00Z")
    seen, before = [], ""
    while True:
        params: dict[str, Any] = {"limit": 2, "before": before}
        page = client.get("/v1/screening/calls", params=params, headers=key).json()
        seen += [one["call_id"] for one in page["calls"]]
        before = page["next"]
        if before is None:
            break
    assert seen == ["k4", "k3", "k2", "k1", "k0"]
    wrong = client.get("/v1/screening/calls", params={"before": "x"}, headers=key)
    assert code(wrong) == (422, "request.invalid")


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("gone_s", [3])
def test_a_call_without_a_line_ends(
    client: TestClient, key: dict[str, str], screening: RunConfig, store: Store, fake: Fakes
) -> None:
    handed(client, key)
    with client.websocket_connect("/v1/screening/notices", headers=key) as notices:
        notices.send_json({"type": "start", "after": 0})
        body = notices.receive_json()["body"]
    assert body["outcome"] == "broken_off"
    assert NUMBER not in json.dumps(body)
    with TestClient(application(screening, store, fake)) as other:
        assert other.get("/health/ready").json()["model"]["name"] == "words"
