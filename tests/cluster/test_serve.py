"""The service on a real Serve: the same answers as in one process, and none lost."""

from __future__ import annotations

import asyncio
import io
import logging
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile
from ray import serve

from persona_ray.apps.bundles import choose_bundle, find_bundle
from persona_ray.apps.personality import make_app
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import RunConfig
from persona_ray.errors import NotAudioError
from persona_ray.inference.clips import ClipInput, ClipRecognition, SentenceRecognition
from persona_ray.inference.hearing import Hearing
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.serving.deploy.deployed import DeployedService
from persona_ray.serving.deploy.graph import Graph, Served
from persona_ray.serving.deploy.stages import BundleChoice
from persona_ray.serving.local import LocalService
from persona_ray.serving.service import Recording
from persona_ray.types import NothingUsable, Recognition
from tests.cluster.serving import (
    CALL,
    NODES,
    anyio_backend,
    bundles,
    configured,
    deploy,
    eventually,
    kill,
    more,
    replicas,
    routed,
    started,
    traffic,
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
    trace, stranger = uuid.uuid4().hex, "00f067aa0ba902b7"

    def asked(headers: dict[str, str]) -> requests.Response:
        files = {"files": ("王小明.wav", wav.getvalue())}
        url = f"{started}/{name}/v1/recognitions/clips"
        return requests.post(url, files=files, headers=headers, timeout=60)

    await asyncio.to_thread(routed, started, name)
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
    of_serve = str(uuid.uuid4())
    own = await asyncio.to_thread(asked, {"x-request-id": of_serve})
    assert own.headers["x-trace-id"] == of_serve.replace("-", "")
    second = await asyncio.to_thread(collector.trace, own.headers["x-trace-id"], route)
    assert not second[route].parent_span_id
    assert "王小明" not in str(collector.spans)


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
                # A replica may have been between two requests, or not yet back.
                for _ in range(10):
                    await eventually(partial(replicas, name, node))
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
