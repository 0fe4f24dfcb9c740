"""What /v1/rollout shows, and another chance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.rollout.service import RolloutService
from persona_ray.serving.rollout.verdict import Counts
from persona_ray.serving.routes.rollout import rollout
from persona_ray.serving.service import PersonalityService
from persona_ray.store import Store
from tests.unit.serving.rollout.fakes import CLIP, FakeService

SEEN = Counts(champion=900, shadows=400, pairs=400, timed=400, slower=40, coloured=400)


@pytest.fixture
def client_of(
    store: Store, config: RunConfig
) -> Iterator[Callable[[PersonalityService], TestClient]]:
    """A client that may do what its key's scope says, of the application over a service."""
    opened: list[TestClient] = []

    def client(service: PersonalityService, scope: str = "models") -> TestClient:
        app = build_app(Services(config, service, store), [rollout])
        token = store.keys.create("test", [scope]).token
        made = TestClient(app, headers={"authorization": f"Bearer {token}"})
        opened.append(made.__enter__())
        return made

    yield client
    for one in opened:
        one.__exit__(None, None, None)


def beside(store: Store, config: RunConfig, version: str = "2", **shares: float) -> RolloutService:
    rollout_config = config.serving.rollout.model_copy(update=shares)
    return RolloutService(FakeService("1"), FakeService(version), store.rollouts, rollout_config)


def shown(client: TestClient) -> dict[str, Any]:
    answer = client.get("/v1/rollout")
    assert answer.status_code == 200, answer.text
    tree: dict[str, Any] = answer.json()
    return tree


def test_a_running_challenger_is_shown_with_its_evidence(
    store: Store, config: RunConfig, client_of: Callable[..., TestClient]
) -> None:
    seen = Counts(**{**SEEN.to_dict(), "differing": 110.0})
    store.rollouts.add("persona/1", "persona/2", seen.to_dict(), lambda _: "")
    tree = shown(client_of(beside(store, config, shadow_share=0.4)))
    assert (tree["state"], tree["champion"], tree["challenger"]) == (
        "running",
        "persona/1",
        "persona/2",
    )
    assert (tree["shadow_share"], tree["canary_share"], tree["reason"]) == (0.4, 0.0, None)
    assert tree["counts"]["shadows"] == 400
    by_question = {one["question"]: one for one in tree["evidence"]}
    assert by_question["errors"]["rate"] is None
    assert by_question["latency"]["rate"] == 0.1
    assert by_question["colours"]["rate"] == 0.275
    assert by_question["colours"]["limit"] == 0.3
    assert by_question["colours"]["needed"] == pytest.approx(300)
    assert by_question["colours"]["p_value"] == 1.0


def test_a_healthy_one_says_so(
    store: Store, config: RunConfig, client_of: Callable[..., TestClient]
) -> None:
    store.rollouts.add("persona/1", "persona/2", SEEN.to_dict(), lambda _: "")
    assert shown(client_of(beside(store, config, shadow_share=0.4)))["state"] == "healthy"


def test_one_that_was_taken_back_gets_nothing_until_it_is_given_another_chance(
    store: Store, config: RunConfig, client_of: Callable[..., TestClient]
) -> None:
    store.rollouts.add("persona/1", "persona/2", SEEN.to_dict(), lambda _: "errors: 9 of 9")
    client = client_of(beside(store, config, shadow_share=0.4, canary_share=0.1))
    tree = shown(client)
    assert (tree["state"], tree["reason"]) == ("rolled_back", "errors: 9 of 9")
    assert (tree["shadow_share"], tree["canary_share"]) == (0.0, 0.0)
    again = client.post("/v1/rollout/restart").json()
    assert (again["state"], again["canary_share"], again["counts"]["pairs"]) == (
        "running",
        0.1,
        0.0,
    )


def test_without_a_challenger_there_is_nothing_to_restart(
    store: Store, config: RunConfig, client_of: Callable[..., TestClient]
) -> None:
    client = client_of(FakeService("1"))
    assert shown(client)["state"] == "off"
    refused = client.post("/v1/rollout/restart")
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "rollout.off"
    assert shown(client_of(beside(store, config, "1", shadow_share=1.0)))["state"] == "same"


def test_only_who_may_manage_models_sees_it(client_of: Callable[..., TestClient]) -> None:
    assert client_of(FakeService("1"), "recognise").get("/v1/rollout").status_code == 403


def test_what_was_seen_is_kept_when_the_application_ends(store: Store, config: RunConfig) -> None:
    service = beside(store, config, shadow_share=1.0, sync_s=600.0)
    app = build_app(Services(config, service, store), [rollout])
    with TestClient(app) as client:
        assert client.portal is not None

        async def answer() -> None:
            await service.sync()
            await service.clips([CLIP])
            await service.settle()
            # The store is told again only after minutes.
            await asyncio.sleep(0.2)
            await service.clips([CLIP])
            while service.ledger.counts.pairs < 2:
                await asyncio.sleep(0.01)

        client.portal.call(answer)
        assert kept(store).pairs == 1
    assert kept(store).pairs == 2


def kept(store: Store) -> Counts:
    record = store.rollouts.add("persona/1", "persona/2", {}, lambda _: "")
    return Counts.from_dict(record.counts)
