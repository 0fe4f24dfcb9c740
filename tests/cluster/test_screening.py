"""Screening on a real Serve: calls with sound both ways, and replicas that die under them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator

import numpy as np
import pytest
import ray
import requests
from ray import serve

from persona_ray.apps.screening import make_app
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import RunConfig, load_config
from persona_ray.config.corpus import VadConfig
from persona_ray.serving.live.protocol import Sound
from persona_ray.serving.screening.client import CallClient
from persona_ray.serving.screening.models import Models, VoiceSeen, screening_application
from persona_ray.serving.screening.protocol import CallEnded, CallEventOut, LineDone, TurnSaid
from tests.cluster.serving import anyio_backend, replicas, started
from tests.unit.serving.live.sounds import recorded
from tests.unit.serving.screening.parts import (
    FRAUD,
    LOANS,
    FakeCategories,
    FakeMouth,
    FakeRobot,
    FakeVoices,
)

__all__ = ["anyio_backend", "started"]

pytestmark = pytest.mark.anyio

NAME = "screening"
RATE_HZ = 8000
# The fake recogniser hears by how loud a turn is.
TEXTS = {0.3: "喂你好", 0.6: LOANS, 0.9: FRAUD}


class LoudnessEars:
    """What is said is told by the loudest sample; half a second passes over it."""

    async def text(self, samples: np.ndarray, rate_hz: int) -> str:
        del rate_hz
        await asyncio.sleep(0.5)
        level = float(np.abs(samples).max())
        return TEXTS[min(TEXTS, key=lambda one: abs(one - level))]


class DeafVoices(FakeVoices):
    async def learn(self, samples: np.ndarray, rate_hz: int, seen: VoiceSeen) -> bool:
        del samples, rate_hz, seen
        return False


def fake_models(config: RunConfig, wanted: Collection[str]) -> Models:
    """Parts without models."""
    return Models(
        {part: f"fake-{part} 1" for part in wanted},
        LoudnessEars(),
        DeafVoices(),
        FakeCategories(tuple(config.screening.policy.categories)),
        FakeRobot(),
        FakeMouth(0.4, 16_000),
    )


@pytest.fixture(scope="module", params=["whole", pytest.param("split", marks=pytest.mark.drill)])
def screening(
    request: pytest.FixtureRequest, started: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of an application with two replicas of everything."""
    parts = ("whole", "ears", "voices", "categories", "robot", "mouth")
    config = load_config(
        None,
        [
            f"workspace={tmp_path_factory.mktemp('screening')}",
            "serving.keys.required=false",
            f"screening.parts.layout={request.param}",
            "screening.gone_s=15",
            "screening.dialogue.silence_s=20",
            # A replica that died has a successor before a turn is given up, on a busy machine too.
            "screening.dialogue.part_s=60",
            "serving.live.end_gap_s=0.5",
            "serving.ingress.cpus=0.1",
            *(f"serving.ingress.{end}_replicas=2" for end in ("min", "max")),
            *(f"screening.parts.{part}.cpus=0.1" for part in parts),
            *(
                f"screening.parts.{part}.{end}_replicas=2"
                for part in parts
                for end in ("min", "max")
            ),
        ],
    )
    application = screening_application(config, fake_models, make_app, NAME)
    serve.run(application, name=NAME, route_prefix=f"/{NAME}")
    yield f"{started}/{NAME}"
    serve.delete(NAME)


def spoken(level: float) -> np.ndarray:
    """Somebody's voice, as loud as `level`."""
    sound = recorded()
    span = max(VoiceActivity(VadConfig()).speech(sound, RATE_HZ), key=lambda one: one.duration_s)
    start = round(span.start_s * RATE_HZ)
    voice = sound[start : start + round(min(1.5, span.duration_s) * RATE_HZ)]
    return (level * voice / np.abs(voice).max()).astype(np.float32)


def kill_all(*deployments: str) -> None:
    for deployment in deployments:
        for name in replicas(NAME, deployment):
            ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)


async def called(
    url: str,
    call_id: str,
    turns: list[float],
    when: Callable[[CallEventOut], bool] = lambda _: False,
    kill: tuple[str, ...] = (),
) -> tuple[CallEnded, list[CallEventOut], int, CallClient]:
    """A caller who says one thing after the other, each once the robot has ended. At the first
    event that `when` is true of, all replicas of `kill` die."""
    start = {"number": "", "user_id": "li"}
    client = CallClient(url, call_id, Sound(encoding="mulaw"), start=start, patience_s=120)
    left, events, sounds, killing = (
        list(turns),
        list[CallEventOut](),
        [0],
        list[asyncio.Future[None]](),
    )

    def note(event: CallEventOut) -> None:
        events.append(event)
        if when(event) and kill and not killing:
            loop = asyncio.get_running_loop()
            killing.append(loop.run_in_executor(None, kill_all, *kill))
        if event.type == "speaking" and event.over and left and client.silent:
            client.say(spoken(left.pop(0)), RATE_HZ)

    def hear(samples: np.ndarray) -> None:
        sounds[0] += len(samples)

    async with asyncio.timeout(150):
        ended = await client.call(note, hear)
    await asyncio.gather(*killing)
    return ended, events, sounds[0], client


def said(events: list[CallEventOut]) -> list[str]:
    return [one.text for one in events if isinstance(one, TurnSaid) and one.speaker == "caller"]


async def test_a_call_goes_through_all_deployments(screening: str) -> None:
    ended, events, sound, client = await called(screening, "plain", [0.3, 0.9])
    assert (ended.outcome, ended.category) == ("hung_up", "account_fraud")
    assert said(events) == [TEXTS[0.3], TEXTS[0.9]]
    assert client.connections == 1
    assert sound > 0.4 * RATE_HZ
    asked = {"user_id": "li"}
    answer = await asyncio.to_thread(
        requests.get, f"{screening}/v1/screening/calls/plain", asked, timeout=30
    )
    call = answer.json()
    assert call["models"]["ears"] == "fake-ears 1"
    recording = await asyncio.to_thread(
        requests.get,
        screening.removesuffix(f"/{NAME}") + f"/{NAME}" + call["links"]["recording"],
        timeout=30,
    )
    assert recording.content[:4] == b"OggS"


@pytest.mark.parametrize(
    "kill",
    [("ingress",), pytest.param(("whole",), marks=pytest.mark.drill)],
    ids=lambda one: one[0],
)
async def test_replicas_that_die_leave_no_caller_in_silence(
    screening: str, kill: tuple[str, ...]
) -> None:
    """The call goes on with others: what was settled is kept, the rest is heard again."""
    ended, events, _, client = await called(
        screening, f"killed {kill[0]}", [0.3, 0.9], lambda one: isinstance(one, TurnSaid), kill
    )
    assert ended.outcome == "hung_up"
    assert said(events) == [TEXTS[0.3], TEXTS[0.9]]
    assert [one.action for one in events if isinstance(one, LineDone)] == ["pick_up", "hang_up"]
    if "ingress" in kill:
        assert client.connections > 1


async def test_a_caller_who_does_not_come_again_gets_a_verdict(screening: str) -> None:
    """The line breaks; whichever replica looks next ends the call with what was said.

    It is said what the call goes on after: one that is decided may end by a goodbye before the
    service knows that nobody hears it.
    """
    client = CallClient(
        screening, "alone", Sound(), start={"number": "", "user_id": "li"}, patience_s=0.05
    )

    def note(event: CallEventOut) -> None:
        if event.type == "speaking" and event.over and client.silent:
            client.say(spoken(0.3), RATE_HZ)
        if isinstance(event, TurnSaid) and event.speaker == "caller":
            raise LookupError("the phone is off")

    with pytest.raises(LookupError):
        await client.call(note)
    url, asked = f"{screening}/v1/screening/calls/alone", {"user_id": "li"}
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0.5)
            answer = await asyncio.to_thread(requests.get, url, asked, timeout=30)
            if answer.ok and answer.json()["outcome"]:
                break
    call = answer.json()
    assert call["outcome"] == "broken_off"
    assert [turn["text"] for turn in call["turns"] if turn["speaker"] == "caller"] == [TEXTS[0.3]]
