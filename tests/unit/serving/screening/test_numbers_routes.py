"""Own sets, reports and appeals over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import load_config
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.routes.screening_numbers import screening_numbers
from persona_ray.serving.routes.screening_reports import screening_reports
from persona_ray.store import Store
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.screening.parts import key_of

NUMBER, BASE = "+8613800138000", "/v1/screening"
Headers = dict[str, str]


@pytest.fixture
def client(tmp_path: Path, store: Store) -> Iterator[TestClient]:
    rules = ["min_reporters=3", "min_weight=2.5", "newcomer_weight=1", "maturity_days=0"]
    config = load_config(
        None,
        [
            f"workspace={tmp_path}",
            *(f"screening.reports.{rule}" for rule in [*rules, "proven_after=0", "burst_hours=0"]),
        ],
    )
    services = Services(config, FakeService(), store)
    with TestClient(build_app(services, [screening_numbers, screening_reports])) as opened:
        yield opened


@pytest.fixture
def operator(store: Store) -> Headers:
    return key_of(store, "op", "screening", "operator")


def user(store: Store, name: str) -> Headers:
    return key_of(store, name, "screening")


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def report(
    client: TestClient, headers: Headers, number: str = NUMBER, category: str = "prize_fraud"
) -> Any:
    body = {"key": number, "category": category}
    return client.post(f"{BASE}/reports", json=body, headers=headers)


def test_a_users_own_sets_are_his_alone(client: TestClient, store: Store) -> None:
    ann, bob = user(store, "ann"), user(store, "bob")
    body = {"number": "138 0013 8000", "standing": "normal", "name": "Mother"}
    put = client.put(f"{BASE}/numbers", json=body, headers=ann)
    assert put.json() == {
        "number": NUMBER,
        "standing": "normal",
        "category": "",
        "name": "Mother",
        "shared": False,
        "origin": "user",
        "expires_at": None,
    }
    client.put(f"{BASE}/numbers", json={"number": "95588", "standing": "illegal"}, headers=ann)
    first = client.get(f"{BASE}/numbers", params={"limit": 1}, headers=ann).json()
    rest = client.get(f"{BASE}/numbers", params={"after": first["next"]}, headers=ann).json()
    assert [item["number"] for item in first["numbers"] + rest["numbers"]] == [NUMBER, "+8695588"]
    assert rest["next"] is None
    only = client.get(f"{BASE}/numbers", params={"standing": "illegal"}, headers=ann).json()
    assert [item["number"] for item in only["numbers"]] == ["+8695588"]
    assert client.get(f"{BASE}/numbers", headers=bob).json()["numbers"] == []
    asked = {"user_id": "ann"}
    assert code(client.get(f"{BASE}/numbers", params=asked, headers=bob)) == (
        403,
        "screening.user",
    )
    gone = client.post(f"{BASE}/numbers/remove", json={"number": NUMBER}, headers=ann)
    assert gone.status_code == 204
    assert store.numbers.history("ann", NUMBER)[-1].actor == "ann"


def test_mistakes_name_the_field_and_not_the_number(client: TestClient, store: Store) -> None:
    ann = user(store, "ann")
    bad = client.put(
        f"{BASE}/numbers", json={"number": "999999999999999999", "standing": "normal"}, headers=ann
    )
    assert code(bad) == (422, "number.invalid")
    assert "99999" not in bad.text
    assert code(report(client, ann, category="nice")) == (422, "category.unknown")
    assert code(client.delete(f"{BASE}/reports/0", headers=ann)) == (404, "report.unknown")
    appeal = {"key": NUMBER, "text": "mine"}
    answer = client.post(f"{BASE}/appeals", json=appeal, headers=ann)
    assert code(answer) == (404, "appeal.not_listed")
    for method, path in (("PUT", "shared"), ("POST", "shared/undo"), ("GET", "appeals")):
        assert client.request(method, f"{BASE}/{path}", headers=ann).status_code == 403


def test_from_reports_to_a_granted_appeal(
    client: TestClient, store: Store, operator: Headers
) -> None:
    keys = [user(store, name) for name in ("ann", "bob", "eve")]
    made = [report(client, key) for key in keys]
    assert [answer.status_code for answer in made] == [201] * 3
    # What it came to is the operators' to know.
    assert set(made[0].json()) == {
        "report_id",
        "kind",
        "key",
        "category",
        "at",
        "retracted_at",
    }
    found = client.post(f"{BASE}/shared/inspect", json={"key": NUMBER}, headers=operator).json()
    assert (found["tally"]["standing"], found["tally"]["persons"]) == ("illegal", 3)
    assert [item["actor"] for item in found["history"]] == ["reports"]
    assert "ann" not in str(found)
    most = client.get(f"{BASE}/shared/reported", headers=operator).json()
    assert most == {"keys": [{"key": NUMBER, "persons": 3}]}
    shop = user(store, "shop")
    body = {"key": NUMBER, "text": "we sell shoes"}
    appeal = client.post(f"{BASE}/appeals", json=body, headers=shop).json()
    waiting = client.get(f"{BASE}/appeals", headers=operator).json()["appeals"]
    assert [item["appeal_id"] for item in waiting] == [appeal["appeal_id"]]
    path = f"{BASE}/appeals/{appeal['appeal_id']}/decision"
    verdict = {"granted": True, "reason": "they do"}
    assert client.post(path, json=verdict, headers=operator).json()["state"] == "granted"
    assert code(client.post(path, json=verdict, headers=operator)) == (409, "appeal.decided")
    assert store.numbers.history("", NUMBER)[-1].reason == "appeal granted: they do"


def test_a_report_is_taken_back_by_its_reporter(client: TestClient, store: Store) -> None:
    keys = [user(store, name) for name in ("ann", "bob", "eve")]
    ids = [report(client, key).json()["report_id"] for key in keys]
    assert len(store.numbers.history("", NUMBER)) == 1
    path = f"{BASE}/reports/{ids[0]}"
    assert code(client.delete(path, headers=keys[1])) == (404, "report.unknown")
    assert client.delete(path, headers=keys[0]).status_code == 204
    assert store.numbers.history("", NUMBER)[-1].action == "removed"
    mine = client.get(f"{BASE}/reports", headers=keys[0]).json()["reports"]
    assert [item["retracted_at"] is not None for item in mine] == [True]


def test_two_keys_of_one_user_count_once_and_an_operators_key_speaks_for_many(
    client: TestClient, store: Store, operator: Headers
) -> None:
    for _ in range(3):
        report(client, user(store, "ann"))

    def persons() -> int:
        asked = {"key": NUMBER}
        found = client.post(f"{BASE}/shared/inspect", json=asked, headers=operator)
        return int(found.json()["tally"]["persons"])

    assert persons() == 1
    body = {"key": NUMBER, "category": "loans"}
    for name in ("bob", "eve"):
        params = {"user_id": name}
        client.post(f"{BASE}/reports", json=body, params=params, headers=operator)
    assert persons() == 3


def test_an_operator_confirms_and_undoes(
    client: TestClient, store: Store, operator: Headers
) -> None:
    body = {"key": "95588", "standing": "normal", "name": "A bank", "reason": "verified"}
    assert client.put(f"{BASE}/shared", json=body, headers=operator).status_code == 204
    for name in ("ann", "bob", "eve"):
        report(client, user(store, name))
        report(client, user(store, name), number="95588")
    undo = {"since": "2020-01-01T00:00:00Z", "reason": "an attack"}
    undone = client.post(f"{BASE}/shared/undo", json=undo, headers=operator)
    assert undone.json() == {"numbers": 1}
    last = store.numbers.history("", NUMBER)[-1]
    assert (last.actor, last.action) == ("op", "rolled_back")
    (bank,) = store.numbers.history("", "+8695588")
    assert (bank.actor, bank.reason) == ("op", "verified")
