"""The service on a real Serve where more is asked than it can answer: it refuses, and it grows."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
import soundfile
from ray import serve

from persona_ray.errors import ServiceBusyError
from persona_ray.serving.deploy.deployed import DeployedService
from persona_ray.serving.service import Answered
from tests.cluster.serving import (
    anyio_backend,
    bundles,
    configured,
    deploy,
    eventually,
    more,
    replicas,
    started,
    traffic,
)
from tests.unit.inference.test_personality import clips
from tests.unit.models.test_bimodal import RATE_HZ

__all__ = ["anyio_backend", "bundles", "started"]

pytestmark = [pytest.mark.anyio, pytest.mark.drill]


@pytest.fixture(scope="module")
def narrow(
    started: str, bundles: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, DeployedService]]:
    """One replica that takes two requests at once, a short queue, room for a second replica."""
    config = configured(
        tmp_path_factory.mktemp("narrow"),
        bundles[0],
        "serving.speech.ongoing_requests=1",
        "serving.speech.max_replicas=2",
        "serving.speech.upscale_delay_s=0",
        "serving.speech.downscale_delay_s=1",
        "serving.limits.max_queued=4",
        "serving.batch.wait_s=0.5",
    )
    yield f"{started}/narrow", deploy(config, "narrow", bundles[0])
    serve.delete("narrow")


async def settled(asked: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*asked, return_exceptions=True)


async def test_a_full_queue_refuses_at_once(narrow: tuple[str, DeployedService]) -> None:
    url, deployed = narrow
    one = clips()[:1]
    # A handle hears of the bound of its queue with the first replicas.
    await deployed.clips(one)
    found = await settled([deployed.clips(one) for _ in range(20)])
    refused = [answer for answer in found if isinstance(answer, ServiceBusyError)]
    assert 0 < len(refused) < 20
    assert all(isinstance(answer, (Answered, ServiceBusyError)) for answer in found)
    assert "serving.limits.max_queued" in str(refused[0])

    wav = io.BytesIO()
    soundfile.write(wav, one[0].samples, RATE_HZ, format="WAV")

    def asked() -> requests.Response:
        files = {"files": ("a.wav", wav.getvalue())}
        return requests.post(
            f"{url}/v1/recognitions/clips", files=files, data={"texts": "你好"}, timeout=60
        )

    answers = await asyncio.gather(*(asyncio.to_thread(asked) for _ in range(20)))
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}, answers[0].text
    body = next(answer.json() for answer in answers if answer.status_code == 503)
    assert body["error"]["code"].startswith("service.")


async def test_replicas_come_with_traffic_and_go_with_it(
    narrow: tuple[str, DeployedService],
) -> None:
    _, deployed = narrow
    await eventually(lambda: len(replicas("narrow", "whole")) == 1, 120)
    async with traffic(deployed, streams=3) as answers:
        await eventually(lambda: len(replicas("narrow", "whole")) == 2, 90)
        await more(answers, 12)
    async with traffic(deployed, streams=1) as answers:
        await eventually(lambda: len(replicas("narrow", "whole")) == 1, 120)
    assert all(len(answer.result) == 5 for answer in answers)
