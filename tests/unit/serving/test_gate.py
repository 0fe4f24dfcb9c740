"""Who is admitted, to requests and to WebSockets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError
from persona_ray.serving import gate as gate_module
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.gate import Caller, check_open, chosen_subprotocol, session_key
from persona_ray.store import Store
from tests.unit.serving.fakes import FakeService


def routes(services: Services) -> APIRouter:
    router = APIRouter()
    gate = services.gate
    admitted = Depends(gate.requires("recognise"))

    @router.get("/who")
    async def who(caller: Caller = admitted) -> list[str]:
        return [caller.name, *sorted(caller.scopes)]

    @router.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        caller = await gate.admit(websocket, "live")
        await websocket.accept(chosen_subprotocol(websocket))
        await websocket.send_text(caller.name)
        await websocket.close()

    return router


def application(store: Store, overrides: Sequence[str] = ()) -> FastAPI:
    config = load_config(None, overrides)
    return build_app(Services(config, FakeService(), store), [routes])


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def code(client: TestClient, **options: Any) -> tuple[int, str]:
    answer = client.get("/who", **options)
    return answer.status_code, answer.json()["error"]["code"]


def test_a_key_with_the_scope_is_admitted(store: Store) -> None:
    client = TestClient(application(store))
    token = store.keys.create("desk", ["recognise"]).token
    assert client.get("/who", headers=bearer(token)).json() == ["desk", "recognise"]
    admin = store.keys.create("chief", ["admin"]).token
    assert client.get("/who", headers=bearer(admin)).json() == ["chief", "admin"]


def test_everything_else_is_refused_with_the_fix(store: Store) -> None:
    client = TestClient(application(store))
    assert code(client) == (401, "key.missing")
    assert code(client, headers={"authorization": "Basic eDp5"}) == (401, "key.missing")
    assert code(client, headers=bearer("pr_0_x")) == (401, "key.unknown")
    other = store.keys.create("b", ["jobs"])
    assert code(client, headers=bearer(other.token)) == (403, "key.scope")
    old = store.keys.create("c", ["recognise"], lifetime=timedelta(seconds=-1))
    assert code(client, headers=bearer(old.token)) == (401, "key.expired")
    # No key in the address: logs keep addresses.
    good = store.keys.create("a", ["recognise"]).token
    assert code(client, params={"key": good}) == (401, "key.missing")
    answer = client.get("/who")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "persona-ray keys create" in answer.json()["error"]["fix"]


def test_a_revoked_key_stops_working_within_seconds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(application(store))
    issued = store.keys.create("a", ["recognise"])
    assert client.get("/who", headers=bearer(issued.token)).status_code == 200
    store.keys.revoke(key_id=issued.key.key_id)
    # It is remembered for a while, which saves asking the store with every request.
    assert client.get("/who", headers=bearer(issued.token)).status_code == 200
    monkeypatch.setattr(gate_module, "KEY_AGE_S", 0.0)
    assert code(client, headers=bearer(issued.token)) == (401, "key.revoked")


def test_each_key_has_its_own_limit(store: Store) -> None:
    client = TestClient(application(store, ["serving.keys.requests_per_minute=3"]))
    slow = store.keys.create("slow", ["recognise"], requests_per_minute=2).token
    usual = store.keys.create("usual", ["recognise"]).token
    statuses = [client.get("/who", headers=bearer(slow)).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert [client.get("/who", headers=bearer(usual)).status_code for _ in range(4)] == [
        200, 200, 200, 429
    ]  # fmt: skip
    answer = client.get("/who", headers=bearer(slow))
    assert 50 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["error"]["code"] == "key.rate"


def test_who_tries_keys_is_asked_to_wait_and_others_at_that_address_are_not(store: Store) -> None:
    client = TestClient(application(store))
    known = bearer(store.keys.create("desk", ["recognise"]).token)
    assert client.get("/who", headers=known).status_code == 200
    for number in range(gate_module.ATTEMPTS_PER_MINUTE):
        assert code(client, headers=bearer(f"pr_{number:012x}_guess"))[1] == "key.unknown"
    asked: list[str] = []
    found = store.keys.find
    store.keys.find = lambda token: asked.append(token) or found(token)  # type: ignore[method-assign, func-returns-value]
    refused = client.get("/who", headers=bearer("pr_000000000000_guess"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "key.attempts")
    assert refused.headers["retry-after"] == "60"
    # The store was not asked; a key that was good before is.
    assert asked == []
    assert client.get("/who", headers=known).status_code == 200


def test_a_browser_names_its_key_in_a_subprotocol(store: Store) -> None:
    client = TestClient(application(store))
    token = store.keys.create("browser", ["live"]).token
    with client.websocket_connect("/live", subprotocols=["persona-ray", f"key.{token}"]) as socket:
        # The key is not said back.
        assert socket.accepted_subprotocol == "persona-ray"
        assert socket.receive_text() == "browser"
    with client.websocket_connect("/live", headers=bearer(token)) as socket:
        assert socket.accepted_subprotocol is None
        assert socket.receive_text() == "browser"


def test_a_websocket_without_a_key_is_refused_before_it_is_accepted(store: Store) -> None:
    client = TestClient(application(store))
    wrong_scope = store.keys.create("a", ["recognise"]).token
    for headers, status, said in (
        ({}, 401, "key.missing"),
        (bearer(wrong_scope), 403, "key.scope"),
    ):
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            client.websocket_connect("/live", headers=headers),
        ):
            pass
        assert refused.value.status_code == status
        assert refused.value.json()["error"]["code"] == said


@pytest.mark.parametrize(
    ("client_host", "headers", "status"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8600"}, 200),
        ("::1", {"host": "localhost:8600"}, 200),
        ("127.0.0.1", {"host": "localhost:8600", "origin": "http://localhost:8600"}, 200),
        ("192.168.0.7", {"host": "127.0.0.1:8600"}, 403),
        # A foreign page in a browser of this machine, by its own name or by a rebound one.
        ("127.0.0.1", {"host": "127.0.0.1:8600", "origin": "https://evil.example"}, 403),
        ("127.0.0.1", {"host": "evil.example:8600"}, 403),
        ("127.0.0.1", {"host": "[::1"}, 403),
    ],
)
def test_without_keys_only_this_machine_is_answered(
    store: Store, client_host: str, headers: dict[str, str], status: int
) -> None:
    app = application(store, ["serving.keys.required=false"])
    client = TestClient(app, client=(client_host, 50_000))
    assert client.get("/who", headers=headers).status_code == status


def test_without_keys_no_other_address_is_listened_on() -> None:
    def serving(*overrides: str) -> RunConfig:
        return load_config(None, ["serving.keys.required=false", *overrides])

    for host in ("127.0.0.1", "localhost", "::1"):
        check_open(serving(f"serving.host='{host}'").serving)
    for host in ("0.0.0.0", "calls.example", "10.0.0.1", "::"):
        with pytest.raises(ConfigError, match=r"listen on 127\.0\.0\.1"):
            check_open(serving(f"serving.host='{host}'").serving)


def test_each_run_has_a_session_key_that_ends_with_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "KEY_AGE_S", 0.0)
    client = TestClient(application(store))
    with session_key(store) as first:
        with session_key(store) as second:
            for token in (first, second):
                assert client.get("/who", headers=bearer(token)).status_code == 200
        assert code(client, headers=bearer(second)) == (401, "key.revoked")
        assert client.get("/who", headers=bearer(first)).status_code == 200
    assert code(client, headers=bearer(first)) == (401, "key.revoked")
    assert all(key.expires_at is not None for key in store.keys.all())
