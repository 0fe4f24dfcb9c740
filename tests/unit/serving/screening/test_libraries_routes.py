"""One number's entries, voices by category, one's own appeals, over REST."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import load_config
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.routes.screening_libraries import screening_libraries
from persona_ray.serving.routes.screening_numbers import screening_numbers
from persona_ray.serving.routes.screening_pages import screening_pages
from persona_ray.serving.routes.screening_reports import screening_reports
from persona_ray.store import Store
from persona_ray.store.screening.voice_records import VoiceEntry, VoiceSample
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.screening.parts import key_of

NUMBER, BASE = "+8613800138000", "/v1/screening"
PRINT = b"\x00\x3c\x00\x00"
Headers = dict[str, str]
ROUTERS = [screening_libraries, screening_numbers, screening_reports, screening_pages]


@pytest.fixture
def client(tmp_path: Path, store: Store) -> Iterator[TestClient]:
    config = load_config(None, [f"workspace={tmp_path}", "screening.reports.min_reporters=3"])
    services = Services(config, FakeService(), store)
    with TestClient(build_app(services, ROUTERS)) as opened:
        yield opened


@pytest.fixture
def operator(store: Store) -> Headers:
    return key_of(store, "op", "screening", "operator")


@pytest.fixture
def user(store: Store) -> Headers:
    return key_of(store, "ann", "screening")


def inspect(client: TestClient, headers: Headers, number: str = "138 0013 8000") -> Any:
    answer = client.post(f"{BASE}/numbers/inspect", json={"number": number}, headers=headers)
    return answer.json()


def put(store: Store, voice_id: str) -> None:
    now = datetime.now(UTC)
    entry = VoiceEntry(
        voice_id=voice_id, engine="e", voiceprint=PRINT, standing="illegal",
        category="prize_fraud", origin="call",
    )  # fmt: skip
    assert store.voices.put(entry, [VoiceSample("c1", PRINT, 3.0)], None, now)


def test_a_number_is_shown_as_a_call_from_it_is_met(
    client: TestClient, user: Headers, operator: Headers
) -> None:
    nothing = inspect(client, user)
    assert (nothing["number"], nothing["own"], nothing["counts"]) == (NUMBER, None, None)
    said = {"key": NUMBER, "standing": "illegal", "category": "prize_fraud"}
    assert client.put(f"{BASE}/shared", json=said, headers=operator).status_code == 204
    own = {"number": NUMBER, "standing": "normal", "name": "Aunt"}
    assert client.put(f"{BASE}/numbers", json=own, headers=user).status_code == 200
    found = inspect(client, user)
    assert (found["own"]["name"], found["own"]["shared"]) == ("Aunt", False)
    assert (found["shared"]["standing"], found["shared"]["origin"]) == ("illegal", "operator")
    assert found["counts"] == found["own"]
    # Others have no part in it.
    others = inspect(client, operator)
    assert (others["own"], others["history"]) == (None, [])
    gone = {"number": NUMBER, "reason": "moved"}
    client.post(f"{BASE}/numbers/remove", json=gone, headers=user)
    after = inspect(client, user)
    assert after["own"] is None
    assert [item["action"] for item in after["history"]] == ["added", "removed"]
    assert after["history"][1]["reason"] == "moved"
    assert after["counts"] == after["shared"]


def test_voices_are_counted_for_all_and_listed_for_operators(
    client: TestClient, user: Headers, operator: Headers, store: Store
) -> None:
    for voice_id in ("v1", "v2"):
        put(store, voice_id)
    (prize,) = client.get(f"{BASE}/voices", headers=user).json()["categories"]
    assert (prize["standing"], prize["category"], prize["voices"]) == ("illegal", "prize_fraud", 2)
    assert client.get(f"{BASE}/voices/entries", headers=user).status_code == 403
    page = client.get(f"{BASE}/voices/entries", params={"limit": 1}, headers=operator).json()
    assert ([one["voice_id"] for one in page["voices"]], page["next"]) == (["v1"], "v1")
    assert "voiceprint" not in page["voices"][0]


def test_a_harmless_voice_goes_and_who_reported_it_counts_for_less(
    client: TestClient, user: Headers, operator: Headers, store: Store
) -> None:
    put(store, "v1")
    report = {"kind": "voices", "key": "v1", "category": "prize_fraud"}
    assert client.post(f"{BASE}/reports", json=report, headers=user).status_code == 201
    wanted = {"voice_id": "v1", "reason": "the wrong person"}
    assert client.post(f"{BASE}/voices/remove", json=wanted, headers=user).status_code == 403
    assert client.post(f"{BASE}/voices/remove", json=wanted, headers=operator).status_code == 204
    assert client.get(f"{BASE}/voices", headers=user).json()["categories"] == []
    record = store.reports.record("ann")
    assert record is not None
    assert record.contradicted == 1
    asked = {"kind": "voices", "key": "v1"}
    told = client.post(f"{BASE}/shared/inspect", json=asked, headers=operator).json()["history"]
    assert [(one["actor"], one["action"], one["reason"]) for one in told] == [
        ("verdict", "added", ""),
        ("op", "removed", "the wrong person"),
    ]
    again = client.post(f"{BASE}/voices/remove", json=wanted, headers=operator)
    assert (again.status_code, again.json()["error"]["code"]) == (404, "voice.unknown")


def test_who_appeals_sees_what_became_of_it(
    client: TestClient, user: Headers, operator: Headers, store: Store
) -> None:
    put(store, "v1")
    appeal = {"kind": "voices", "key": "v1", "text": "it is me"}
    made = client.post(f"{BASE}/appeals", json=appeal, headers=user).json()
    decision = {"granted": True, "reason": "heard both"}
    client.post(f"{BASE}/appeals/{made['appeal_id']}/decision", json=decision, headers=operator)
    (mine,) = client.get(f"{BASE}/appeals/own", headers=user).json()["appeals"]
    assert (mine["state"], mine["decision"]) == ("granted", "heard both")
    assert client.get(f"{BASE}/appeals/own", headers=operator).json()["appeals"] == []


def test_the_pages_know_the_rules_and_begin_at_the_inbox(client: TestClient) -> None:
    known = client.get("/v1/pages/settings").json()
    assert (known["keys_required"], known["reports"]["persons"]) == (True, 3)
    first = client.get("/", follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (307, "/inbox")
