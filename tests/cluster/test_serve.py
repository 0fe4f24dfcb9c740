"""The service on a real Serve: the same answers as in one process, and none lost."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile
from ray import serve

from persona_ray.apps.bundles import choose_bundle, find_bundle
from persona_ray.apps.personality import make_app
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import RunConfig
from persona_ray.errors import NotAudioError, ServiceBusyError
from persona_ray.inference.clips import ClipInput, ClipRecognition, SentenceRecognition
from persona_ray.inference.hearing import Hearing
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.serving.deploy.deployed import DeployedService
from persona_ray.serving.deploy.graph import Graph, Served
from persona_ray.serving.deploy.stages import BundleChoice
from persona_ray.serving.local import LocalService
from persona_ray.serving.service import Answered, PersonalityService, Recording
from persona_ray.types import NothingUsable, Recognition
from tests.cluster.serving import (
    CALL,
    NODES,
    anyio_backend,
    bundles,
    configured,
    deploy,
    kill,
    replicas,
    started,
)
from tests.collector import Collector, attributes, collecting
from tests.unit.inference.test_personality import clips
from tests.unit.models.test_bimodal import RATE_HZ

__all__ = ["anyio_backend", "bundles", "started"]

pytestmark = pytest.mark.anyio

HOLDS_SPEECH = {"whole": "whole", "fused": "fused", "split": "speech"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(
    scope="module",
    params=["whole", *(pytest.param(one, marks=pytest.mark.drill) for one in ("fused", "split"))],
)
def served(
    request: pytest.FixtureRequest,
    started: str,
    bundles: tuple[Path, Path],
    collector: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, RunConfig, DeployedService]]:
    """Two replicas of each model; batches wait so long that a kill or swap falls into one."""
    del started
    name = str(request.param)
    config = configured(
        tmp_path_factory.mktemp(name),
        bundles[0],
        f"serving.layout={name}",
        "serving.batch.wait_s=0.2",
        f"watching.traces.endpoint={collector.endpoint}",
        *(f"serving.{one}.{end}_replicas=2" for one in NODES[2:] for end in ("min", "max")),
    )
    yield name, config, deploy(config, name, bundles[0])
    serve.delete(name)


def same(found: Sequence[ClipRecognition], expected: Sequence[ClipRecognition]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.text == other.text
        if isinstance(other.result, NothingUsable):
            assert one.result == other.result
            continue
        assert isinstance(one.result, Recognition)
        assert one.result.primary == other.result.primary
        assert one.result.secondary == other.result.secondary
        assert one.result.probabilities == pytest.approx(other.result.probabilities, abs=1e-5)


def as_clips(sentences: Sequence[SentenceRecognition]) -> list[ClipRecognition]:
    return [ClipRecognition(sentence.result, sentence.text) for sentence in sentences]


def places(sentences: Sequence[SentenceRecognition]) -> list[tuple[float, float]]:
    return [(sentence.start_s, sentence.end_s) for sentence in sentences]


async def test_answers_are_those_of_one_process(
    served: tuple[str, RunConfig, DeployedService], bundles: tuple[Path, Path], repository: Path
) -> None:
    _, config, deployed = served
    alone = PersonalityRecognizer.load(bundles[0], config, device="cpu")
    local = LocalService(alone)
    silent = ClipInput(np.zeros(4_000, dtype=np.float32), RATE_HZ, "好的")
    wordless = ClipInput(clips()[0].samples, RATE_HZ, " ")
    asked = [*clips(), silent, wordless]
    same((await deployed.clips(asked)).result, alone.clips(asked))
    assert (await deployed.clips([])).result == []

    data = (repository / CALL).read_bytes()
    expected = alone.recording(str(repository / CALL), 1)
    assert len(expected.sentences) >= 2
    for service in (deployed, local):
        found = await service.call(Recording("call.ogg", 1, data))
        assert places(found.result.sentences) == places(expected.sentences)
        same(as_clips(found.result.sentences), as_clips(expected.sentences))
        same([ClipRecognition(found.result.result, "")], [ClipRecognition(expected.result, "")])
        assert found.result.flags == expected.flags
        assert found.timings_s["hearing"] > 0

    both, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32")
    track = np.ascontiguousarray(both[: 12 * rate_hz, 1])
    speech = VoiceActivity(config.vad).speech(track, rate_hz)
    live = await deployed.utterance(track, rate_hz, speech)
    here = await local.utterance(track, rate_hz, speech)
    assert places(live.result) == places(here.result)
    same(as_clips(live.result), as_clips(here.result))
    hearing = Hearing(config)
    assert await deployed.text(track, rate_hz, speech) == hearing.text(track, rate_hz, speech)


async def test_errors_arrive_as_themselves(
    served: tuple[str, RunConfig, DeployedService],
) -> None:
    _, _, deployed = served
    with pytest.raises(NotAudioError) as caught:
        await deployed.call(Recording("notes.wav", 0, b"no audio at all " * 90))
    assert type(caught.value) is NotAudioError
    assert str(caught.value).startswith("notes.wav is no audio")
    assert "Traceback" not in str(caught.value)


async def test_a_request_is_one_trace_over_every_hop(
    served: tuple[str, RunConfig, DeployedService], started: str, collector: Collector
) -> None:
    name, _, _ = served
    wav = io.BytesIO()
    soundfile.write(wav, clips()[0].samples, RATE_HZ, format="WAV")
    trace, stranger = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

    def asked(headers: dict[str, str]) -> requests.Response:
        files = {"files": ("王小明.wav", wav.getvalue())}
        url = f"{started}/{name}/v1/recognitions/clips"
        return requests.post(url, files=files, headers=headers, timeout=60)

    traceparent = f"00-{trace}-{stranger}-01"
    answer = await asyncio.to_thread(asked, {"traceparent": traceparent})
    assert (answer.status_code, answer.headers["x-trace-id"]) == (200, trace)
    route = "POST /v1/recognitions/clips"
    above, stages = {
        "whole": ("answering", ("hearing", "judging")),
        "fused": (route, ("hearing", "judging")),
        "split": (route, ("hearing", "speech", "text", "classifying")),
    }[name]
    ours = await asyncio.to_thread(collector.trace, trace, route, above, *stages)
    request = ours[route]
    assert request.parent_span_id.hex() == stranger
    assert attributes(request) == {
        "route": "/v1/recognitions/clips",
        "method": "POST",
        "status": 200,
    }
    assert above == route or ours[above].parent_span_id == request.span_id
    assert {ours[stage].parent_span_id for stage in stages} == {ours[above].span_id}

    # Without a caller's trace it is called as Serve calls the request.
    own = await asyncio.to_thread(asked, {"x-request-id": "0191e6b1-7c7e-7cc3-98c6-3b4f1a2d5e6f"})
    assert own.headers["x-trace-id"] == "0191e6b17c7e7cc398c63b4f1a2d5e6f"
    second = await asyncio.to_thread(collector.trace, own.headers["x-trace-id"], route)
    assert not second[route].parent_span_id
    assert "王小明" not in str(collector.spans)


@asynccontextmanager
async def traffic(
    service: PersonalityService, streams: int = 4
) -> AsyncIterator[list[Answered[list[ClipRecognition]]]]:
    """Requests on end, in the block and until what was begun there is answered."""
    answers: list[Answered[list[ClipRecognition]]] = []
    over = asyncio.Event()
    asked = clips()[:5]

    async def stream() -> None:
        while not over.is_set():
            answers.append(await service.clips(asked))

    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(stream())
        await eventually(lambda: len(answers) >= streams)
        yield answers
        over.set()


async def eventually(true: Callable[[], bool], within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, "it did not come to be"
        await asyncio.sleep(0.05)


async def more(answers: Sequence[Any], count: int) -> None:
    """So many more than there are."""
    wanted = len(answers) + count
    await eventually(lambda: len(answers) >= wanted)


@pytest.mark.drill
async def test_a_replica_that_dies_under_a_request_loses_nothing(
    served: tuple[str, RunConfig, DeployedService],
    bundles: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    name, config, deployed = served
    expected = PersonalityRecognizer.load(bundles[0], config, device="cpu").clips(clips()[:5])
    for node in NODES:
        if not replicas(name, node):
            continue
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="persona_ray.serving.deploy.deployed"):
            async with traffic(deployed, streams=8) as answers:
                # A replica may have been between two requests.
                for _ in range(3):
                    kill(name, node)
                    await more(answers, 16)
                    if caplog.records:
                        break
        if node != "classifier":
            # The classifier answers at once: no request need have been in it.
            assert any("asked once more" in record.message for record in caplog.records), node
        for answer in answers:
            same(answer.result, expected)


async def test_a_bundle_is_swapped_under_traffic(
    served: tuple[str, RunConfig, DeployedService], bundles: tuple[Path, Path]
) -> None:
    name, config, deployed = served
    expected = {
        choose_bundle(config, str(bundle)).version: PersonalityRecognizer.load(
            bundle, config, device="cpu"
        ).clips(clips()[:5])
        for bundle in bundles
    }
    old, new = expected
    node = HOLDS_SPEECH[name]
    await eventually(lambda: len(replicas(name, node)) == 2)
    there = set(replicas(name, node))
    async with traffic(deployed) as answers:
        await asyncio.to_thread(deploy, config, name, bundles[1])
        await eventually(lambda: answers[-1].model.version == new)
        await more(answers, 16)
    assert set(replicas(name, node)) == there, "no replica was started anew"
    for answer in answers:
        same(answer.result, expected[answer.model.version])
    assert answers[0].model.version == old
    assert {answer.model.version for answer in answers[-8:]} == {new}

    # One that no replica can load: the one before goes on answering.
    broken = choose_bundle(config, str(bundles[1])).to_dict() | {"digest": "0" * 64}
    # build_for would look into the bundle itself.
    served_broken = Served(BundleChoice(**broken), True, True)
    refused = Graph(config, find_bundle, name).application(served_broken, None, make_app)
    serve.run(refused, name=name, route_prefix=f"/{name}")
    same((await deployed.clips(clips()[:5])).result, expected[new])


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


@pytest.mark.drill
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


@pytest.mark.drill
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
