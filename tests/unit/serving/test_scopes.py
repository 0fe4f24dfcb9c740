"""Every route of every application asks for a key with a scope, but for those that are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute, iter_route_contexts
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from persona_ray.apps import assist, personality, screening
from persona_ray.config import RunConfig
from persona_ray.serving.application import Services, build_app
from persona_ray.store import Store
from persona_ray.store.keys import SCOPES
from tests.unit.serving.assist import parts as assist_parts
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.screening import parts as screening_parts

# Hold no data: the pages, what they are made of, and whether the process lives.
OPEN = re.compile(
    r"/(health|health/ready|openapi\.json|assets/.*|v1/pages/settings|annotate|models|inbox|"
    r"libraries|reports|assist|scripts)?"
)
# Answered with 426 before anything is looked at: they speak WebSocket.
UPGRADE = frozenset(
    {
        "/v1/live",
        "/v1/twilio",
        "/v1/screening/calls",
        "/v1/screening/notices",
        "/v1/assist/calls",
        "/v1/assist/devices",
    }
)
# Who has the link, signed and soon over, needs no key: an element of a page sets no header.
LINKS = frozenset({"/v1/screening/files/{ref}/recording", "/v1/screening/files/{ref}/transcript"})
# It asks for the scope that it is asked about.
QUERIES = {"/v1/pages/access": "?scope=recognise"}
QUERIES |= dict.fromkeys(LINKS, f"?expires=9999999999&signature={'a' * 43}")
# Twilio sets no headers: its key comes with the first message (see tests of the line).
LATER = "/v1/twilio"


@dataclass(frozen=True)
class Place:
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def personal(config: RunConfig, store: Store) -> FastAPI:
    return build_app(Services(config, FakeService(), store), personality.routers(config))


def screened(config: RunConfig, store: Store) -> FastAPI:
    services = screening_parts.services_of(config, store, screening_parts.fakes(config))
    return build_app(services, screening.routers(config))


def assisted(config: RunConfig, store: Store) -> FastAPI:
    services = assist_parts.services_of(config, store, assist_parts.fakes(config))
    return build_app(services, assist.routers(config))


APPS = (personal, screened, assisted)


def places(app: FastAPI) -> Iterator[Place]:
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIWebSocketRoute):
            yield Place("WEBSOCKET", str(route.path))
        else:
            for method in sorted(set(route.methods or ()) - {"HEAD"}):
                yield Place(method, str(route.path))


def answered(client: TestClient, place: Place, token: str) -> tuple[int, dict[str, str]]:
    """Status and error of an answer to a request that has a key, and nothing else."""
    path = re.sub(r"\{[^}]*\}", "1", place.path) + QUERIES.get(place.path, "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if place.method == "WEBSOCKET":
        try:
            with client.websocket_connect(path, headers=headers):
                return 101, {}
        except WebSocketDenialResponse as refused:
            return refused.status_code, refused.json()["error"]
    answer = client.request(place.method, path, headers=headers)
    if answer.status_code < 400:
        return answer.status_code, {}
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize("build", APPS)
def test_every_route_wants_a_key_with_its_scope(
    build: Callable[[RunConfig, Store], FastAPI], config: RunConfig, store: Store
) -> None:
    app = build(config, store)
    client = TestClient(app, follow_redirects=False)
    alone = store.keys.create("alone", ["metrics"]).token
    others = {
        scope: store.keys.create(scope, set(SCOPES) - {scope, "admin"}).token for scope in SCOPES
    }
    wanted: dict[Place, str] = {}
    for place in places(app):
        if place.path == LATER:
            continue
        status, said = answered(client, place, "")
        if status == 426 and place.path in UPGRADE:
            continue
        if OPEN.fullmatch(place.path) and status in (200, 307, 404):
            continue
        if place.path in LINKS:
            assert (status, said["code"]) == (403, "link.signature"), place
            continue
        assert (status, said["code"]) == (401, "key.missing"), place
        status, said = answered(client, place, alone)
        scope = re.findall(r"lacks the scope '(\w+)'", said.get("message", "")) or ["metrics"]
        # All the others do not make up for it.
        status, said = answered(client, place, others[scope[0]])
        assert (status, said["code"]) == (403, "key.scope"), place
        wanted[place] = scope[0]
    assert len(wanted) > 8
    assert {scope for place, scope in wanted.items() if place.path == "/metrics"} == {"metrics"}


def test_pages_ask_for_the_scope_that_is_named(config: RunConfig, store: Store) -> None:
    client = TestClient(personal(config, store))
    token = store.keys.create("desk", ["annotate"]).token
    headers = {"authorization": f"Bearer {token}"}
    assert client.get("/v1/pages/access?scope=annotate", headers=headers).status_code == 200
    assert client.get("/v1/pages/access?scope=models", headers=headers).status_code == 403


@pytest.mark.parametrize("build", APPS)
def test_browsers_keep_no_answer_and_no_other_site_reads_one(
    build: Callable[[RunConfig, Store], FastAPI], config: RunConfig, store: Store
) -> None:
    app = build(config, store)
    headers = {"origin": "https://elsewhere.example"}
    plain = TestClient(app).get("/health", headers=headers)
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert plain.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in plain.headers
    sealed = TestClient(app, base_url="https://testserver").get("/health", headers=headers)
    assert sealed.headers["strict-transport-security"] == "max-age=31536000"
    for answer in (plain, sealed):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "set-cookie" not in answer.headers
