"""Assistance on a real Serve: a call through all deployments, and an ingress that dies under it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator

import numpy as np
import pytest
import ray
import requests
from ray import serve

from persona_ray.apps.assist import make_app
from persona_ray.config import RunConfig, load_config
from persona_ray.serving.assist.client import AssistClient, DeviceClient
from persona_ray.serving.assist.models import Models, assist_application
from persona_ray.serving.assist.protocol import AnyEvent, CallEnded, DeviceEvent, Notice, TurnHeard
from persona_ray.serving.live.client import paced
from persona_ray.serving.live.protocol import Sound
from tests.cluster.serving import anyio_backend, replicas, started
from tests.unit.serving.assist.parts import FakeAdvisor, FakeEars
from tests.unit.serving.live.sounds import recorded

__all__ = ["anyio_backend", "started"]

pytestmark = pytest.mark.anyio

NAME = "assist"
RATE_HZ = 8000


def fake_models(config: RunConfig, wanted: Collection[str]) -> Models:
    """Parts without models."""
    names = {"ears": "fake-ears 1", "emotion": "fake 1", "ranker": "first"}
    return Models(
        names,
        FakeEars() if "ears" in wanted else None,
        FakeAdvisor(config) if "advisor" in wanted else None,
    )


@pytest.fixture(scope="module", params=["whole", pytest.param("split", marks=pytest.mark.drill)])
def assist(
    request: pytest.FixtureRequest, started: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of an application with two replicas of everything."""
    parts = ("whole", "ears", "advisor")
    config = load_config(
        None,
        [
            f"workspace={tmp_path_factory.mktemp('assist')}",
            "serving.keys.required=false",
            f"assist.parts.layout={request.param}",
            "serving.ingress.cpus=0.1",
            *(f"serving.ingress.{end}_replicas=2" for end in ("min", "max")),
            *(f"assist.parts.{part}.cpus=0.1" for part in parts),
            *(f"assist.parts.{part}.{end}_replicas=2" for part in parts for end in ("min", "max")),
        ],
    )
    application = assist_application(config, fake_models, make_app, NAME)
    serve.run(application, name=NAME, route_prefix=f"/{NAME}")
    yield f"{started}/{NAME}"
    serve.delete(NAME)


def both_sides() -> np.ndarray:
    """The first 14 seconds of a recorded call, (n, 2), the agent first."""
    sides = [recorded(channel=channel) for channel in (0, 1)]
    return np.stack(sides, axis=1)[: 14 * RATE_HZ]


async def called(
    url: str, call_id: str, kill: bool = False
) -> tuple[CallEnded, list[AnyEvent], AssistClient]:
    """A call at twice real time. With `kill` all replicas of the ingress die at the first turn."""
    client = AssistClient(
        url,
        call_id,
        Sound(channels=2, customer_channel=1),
        scene={"product": "wealth"},
        agent_id="li",
        patience_s=120,
    )
    events, killing = list[AnyEvent](), list[asyncio.Future[None]]()

    def kill_all() -> None:
        for name in replicas(NAME, "ingress"):
            ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)

    def note(event: AnyEvent) -> None:
        events.append(event)
        if kill and isinstance(event, TurnHeard) and not killing:
            loop = asyncio.get_running_loop()
            killing.append(loop.run_in_executor(None, kill_all))

    async with asyncio.timeout(150):
        ended = await client.stream(paced(both_sides(), RATE_HZ, 2.0), note)
    await asyncio.gather(*killing)
    return ended, events, client


def kinds(events: list[AnyEvent]) -> list[str]:
    return [event.type for event in events if event.type not in ("ack", "started")]


def turns(events: list[AnyEvent]) -> list[tuple[str, str]]:
    return [(one.speaker.value, one.text) for one in events if isinstance(one, TurnHeard)]


async def test_a_push_stands_on_a_device_and_an_ingress_that_dies_loses_nothing(
    assist: str,
) -> None:
    told: list[DeviceEvent] = []
    listening = asyncio.Event()

    async def listen() -> None:
        async for event in DeviceClient(assist, "li").listen(listening.set):
            told.append(event)  # noqa: PERF401, it is looked at meanwhile

    def standing() -> list[object]:
        notices = [one.event for one in told if isinstance(one, Notice)]
        return [event["push_id"] for event in notices if event["type"] == "push"]

    device = asyncio.create_task(listen())
    await asyncio.wait_for(listening.wait(), 60)
    ended, events, client = await called(assist, "plain")
    pushed = [one.push_id for one in events if one.type == "push"]
    async with asyncio.timeout(20):
        while len(standing()) < len(pushed):
            await asyncio.sleep(0.05)
    device.cancel()
    assert standing() == pushed
    assert (client.connections, ended.pushes) == (1, len(pushed))
    assert {who for who, _ in turns(events)} == {"agent", "customer"}

    _, again, other = await called(assist, "killed", kill=True)
    assert other.connections > 1
    assert turns(again) == turns(events)
    # Sound is sent again faster than it was spoken: what it would have brought may be too late.
    assert [one for one in kinds(again) if "push" not in one] == [
        one for one in kinds(events) if "push" not in one
    ]
    asked = {"agent_id": "li"}
    answer = await asyncio.to_thread(
        requests.get, f"{assist}/v1/assist/calls/killed", asked, timeout=30
    )
    assert [one["type"] for one in answer.json()["events"]] == kinds(again)
