"""/v1/models: the registry over HTTP; comparing and promoting take longer than a request."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.routes.models import models
from persona_ray.store import Store
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.models_fakes import SVG, FakeDesk


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def client(desk: FakeDesk, store: Store, service: FakeService, config: RunConfig) -> TestClient:
    token = store.keys.create("lead", ["models"]).token
    app = build_app(Services(config, service, store), [models(desk)])
    return TestClient(app, headers={"authorization": f"Bearer {token}"})


def finished(client: TestClient, errand: Any) -> Any:
    for _ in range(200):
        answer = client.get(f"/v1/models/errands/{errand['errand_id']}").json()
        if answer["state"] != "running":
            return answer
        time.sleep(0.02)
    raise AssertionError(answer)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_versions_and_the_one_that_answers(client: TestClient) -> None:
    answer = client.get("/v1/models").json()
    assert [version["number"] for version in answer["registry"]["versions"]] == [3, 2, 1]
    assert answer["registry"]["history"][-1]["after"] == 2
    assert (answer["serving_name"], answer["serving_version"]) == ("persona", "3")


def test_what_is_kept_with_a_version(client: TestClient) -> None:
    detail = client.get("/v1/models/versions/2").json()
    assert detail["figures"] == {"test_customer_accuracy": 0.75}
    drawn = client.get(f"/v1/models/versions/2/plots/{detail['plots'][0]}")
    assert drawn.content == SVG
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert "script" not in drawn.headers["content-security-policy"]
    assert code(client.get("/v1/models/versions/2/plots/..%2Fbundle.json"))[0] == 404
    assert code(client.get("/v1/models/versions/9")) == (409, "models.refused")


def test_a_promotion_goes_on_after_its_answer(client: TestClient, desk: FakeDesk) -> None:
    desk.go.clear()
    begun = client.post("/v1/models/promotions", json={"version": 3, "reason": "more calls"})
    assert begun.status_code == 202
    assert begun.json()["state"] == "running"
    busy = client.post("/v1/models/comparisons", json={"first": 1, "second": 2})
    assert code(busy) == (409, "models.busy")
    desk.go.set()
    done = finished(client, begun.json())
    assert done["promotion"]["version"] == 3
    assert done["promotion"]["comparison"]["second_is_worse"] is False
    assert (done["done"], done["total"]) == (8, 8)
    assert desk.champion == 3
    assert desk.history[-1].details["reason"] == "more calls"


def test_a_worse_one_is_refused_and_can_be_forced_with_a_reason(
    client: TestClient, desk: FakeDesk
) -> None:
    desk.worse = True
    asked = client.post("/v1/models/promotions", json={"version": 3}).json()
    refused = finished(client, asked)
    assert (refused["state"], refused["refused"]) == ("failed", True)
    assert refused["error"]["code"] == "models.worse"
    assert desk.champion == 2
    without = client.post("/v1/models/promotions", json={"version": 3, "force": True})
    assert code(without) == (422, "models.reason")
    forced = {"version": 3, "force": True, "reason": "the test split is stale"}
    assert finished(client, client.post("/v1/models/promotions", json=forced).json())["promotion"]
    assert desk.champion == 3


def test_a_comparison(client: TestClient) -> None:
    begun = client.post("/v1/models/comparisons", json={"first": 1, "second": 3}).json()
    found = finished(client, begun)["comparison"]
    assert (found["first"], found["second"], found["clips"]) == ("version 1", "version 3", 260)


def test_the_way_back_needs_a_reason(client: TestClient, desk: FakeDesk) -> None:
    assert client.post("/v1/models/rollback", json={}).status_code == 422
    answer = client.post("/v1/models/rollback", json={"reason": "complaints"}).json()
    assert answer == {"version": 1, "left": 2}
    assert desk.history[-1].action == "rollback"


def test_what_nobody_foresaw_is_told_without_details(
    client: TestClient, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(desk, "compare", broken)
    begun = client.post("/v1/models/comparisons", json={"first": 1, "second": 3}).json()
    failed = finished(client, begun)
    assert failed["error"]["code"] == "service.failed"
    assert "secret" not in str(failed)


def test_another_replicas_errand_is_not_here(client: TestClient) -> None:
    assert code(client.get("/v1/models/errands/ab12")) == (404, "models.unknown_errand")


def test_a_key_needs_the_scope(client: TestClient, store: Store) -> None:
    other = store.keys.create("annotator", ["annotate"]).token
    answer = client.get("/v1/models", headers={"authorization": f"Bearer {other}"})
    assert code(answer) == (403, "key.scope")
