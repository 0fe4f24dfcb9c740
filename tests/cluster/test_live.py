"""Live calls on a real Serve: a replica that dies costs no sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from ray import serve

from persona_ray.audio.decode import read_audio
from persona_ray.serving.live.client import LiveClient, paced
from persona_ray.serving.live.protocol import AnyEvent, Ended, Sentence, Sound
from tests.cluster.serving import (
    CALL,
    PORT,
    anyio_backend,
    bundles,
    configured,
    deploy,
    replicas,
    started,
)

__all__ = ["anyio_backend", "bundles", "started"]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def live(
    started: str, bundles: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of an application with two ingress replicas."""
    del started
    two = ("serving.ingress.min_replicas=2", "serving.ingress.max_replicas=2")
    config = configured(tmp_path_factory.mktemp("live"), bundles[0], *two)
    deploy(config, "live", bundles[0])
    yield "live"
    serve.delete("live")


def kill_all(deployment: str) -> None:
    for name in replicas("live", deployment):
        ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)


async def streamed(call_id: str, kill_after: str = "") -> tuple[list[Sentence], Ended, int]:
    """A recorded call streamed; once a sentence has come, every replica of a deployment dies."""
    sound = read_audio(CALL)
    samples = np.ascontiguousarray(sound.samples[1])
    client = LiveClient(f"ws://127.0.0.1:{PORT}/live/v1/live", call_id, Sound(), patience_s=120)
    sentences: list[Sentence] = []
    killing: list[asyncio.Future[None]] = []

    def note(event: AnyEvent) -> None:
        if isinstance(event, Sentence):
            sentences.append(event)
            if kill_after and not killing:
                loop = asyncio.get_running_loop()
                killing.append(loop.run_in_executor(None, kill_all, kill_after))

    ended = await client.stream(paced(samples, sound.sample_rate_hz, 0), note)
    await asyncio.gather(*killing)
    return sentences, ended, client.connections


def said(sentences: list[Sentence]) -> list[tuple[int, float, float, str | None, object]]:
    return [(one.seq, one.start_s, one.end_s, one.text, one.probabilities) for one in sentences]


@pytest.mark.drill
async def test_a_live_call_outlives_the_replicas_that_hold_it(live: str) -> None:
    whole, end, connections = await streamed("whole")
    assert connections == 1
    assert len(whole) > 3
    broken, end_again, connections = await streamed("broken", kill_after="ingress")
    assert connections > 1
    assert said(broken) == said(whole)
    assert end_again.together == end.together
    assert live
