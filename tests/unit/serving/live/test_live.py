"""Live calls over a WebSocket: sentences as they end, and nothing lost when the line breaks."""

from __future__ import annotations

import asyncio
import uuid

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_ray.audio.g711 import encode_mulaw
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import RunConfig
from persona_ray.config.corpus import VadConfig
from persona_ray.config.serving import LiveConfig
from persona_ray.errors import RecognitionError, ServiceBusyError, ServiceLostError
from persona_ray.inference.clips import combine
from persona_ray.serving.live import hub
from persona_ray.serving.live.endpoint import Endpointer
from persona_ray.serving.live.frames import FrameIntake, frame
from persona_ray.serving.live.protocol import Ack, Ended, Failed, Partial, RunningColour, Sound
from persona_ray.store import Store
from persona_ray.types import Recognition
from tests.unit.serving.live.lines import (
    Heard,
    Listener,
    application,
    frames_of,
    line,
    listen,
    start,
    whole_call,
)
from tests.unit.serving.live.sounds import LoudIsSpeech, recorded, talk

TALK = talk((1.2, 0.4), (0.8, 1.5), (2.0, 1.2), (0.5, 3.0), (1.0, 0.2))
FRAMES = frames_of(TALK)

pytestmark = pytest.mark.usefixtures("loud")


def test_sentences_come_with_their_colours_and_the_running_one(
    client: TestClient, key: dict[str, str]
) -> None:
    heard = whole_call(client, key, FRAMES)
    assert heard.closed == 1000
    sentences = heard.sentences
    assert [one.seq for one in sentences] == list(range(1, len(sentences) + 1))
    spans = LoudIsSpeech(VadConfig()).speech(TALK, 8000)
    assert [(one.start_s, one.end_s) for one in sentences] == [
        (pytest.approx(span.start_s, abs=1e-3), pytest.approx(span.end_s, abs=1e-3))
        for span in spans
    ]
    colours = heard.of(RunningColour)
    for number, colour in enumerate(colours, 1):
        expected = combine([Recognition(one.probabilities or {}, 1) for one in sentences[:number]])
        assert isinstance(expected, Recognition)
        assert colour.probabilities == expected.probabilities
        assert (colour.primary, colour.clips, colour.seq) == (expected.primary, number, number)
    ended = heard.events[-1]
    assert isinstance(ended, Ended)
    assert ended.together.probabilities == colours[-1].probabilities
    assert ended.duration_s == pytest.approx(len(TALK) / 8000, abs=1e-3)
    assert heard.acked == len(FRAMES)
    acks = [event.frame for event in heard.of(Ack)]
    assert acks == sorted(acks)


def settled_by(frames: list[bytes]) -> list[int]:
    """The last frame that is settled once n frames have come, for n from 0."""
    intake = FrameIntake(Sound(), 8000, 3600)
    endpointer = Endpointer(LoudIsSpeech(VadConfig()), LiveConfig(), 8000)
    settled = [0]
    for one in frames:
        samples = intake.take(one)
        cuts = [] if samples is None else endpointer.push(samples)
        settled.append(intake.settled(cuts[-1].checkpoint.position)[0] if cuts else settled[-1])
    return settled


@pytest.fixture
def unbroken() -> dict[int, Heard]:
    """What came of whole calls, by the size of their frames."""
    return {}


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.sampled_from([160, 700, 1600]),
    breaks=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=4),
    again=st.integers(0, 5),
)
def test_a_line_that_breaks_anywhere_loses_and_repeats_nothing(
    config: RunConfig,
    store: Store,
    key: dict[str, str],
    unbroken: dict[int, Heard],
    size: int,
    breaks: list[tuple[float, bool]],
    again: int,
) -> None:
    """Each connection goes to a replica of its own; between them only the store is shared."""
    frames, name = frames_of(TALK, size), str(uuid.uuid4())
    settled = settled_by(frames)
    if size not in unbroken:
        with TestClient(application(config, Listener(), store)) as client:
            unbroken[size] = whole_call(client, key, frames, call_id=f"{size} unbroken")
    heard, seen = Heard(), 0
    for share, patient in [*breaks, (1.0, True)]:
        with (
            TestClient(application(config, Listener(), store)) as client,
            line(client, key, start(name, resume_from=seen)) as (socket, started),
        ):
            assert started.next_frame > heard.acked
            # Some are sent again although they are settled: they are ignored.
            begin = max(0, started.next_frame - 1 - again)
            sent = max(begin, round(share * len(frames)))
            for one in frames[begin:sent]:
                socket.send_bytes(one)
            if share == 1.0 and patient:
                socket.send_json({"type": "end"})
                listen(socket, heard)
                break
            while patient and max(heard.acked, started.next_frame - 1) < settled[sent]:
                listen(socket, heard, Ack)
        seen = max([event.seq for event in heard.sentences], default=0)
    assert heard.closed == 1000
    numbers = [one.seq for one in heard.sentences]
    assert numbers == sorted(set(numbers))
    assert heard.results == unbroken[size].results


def test_whoever_comes_again_after_the_end_is_told_again(
    client: TestClient, key: dict[str, str]
) -> None:
    whole = whole_call(client, key, FRAMES)
    with line(client, key, start(resume_from=1)) as (socket, started):
        again = listen(socket, Heard())
    assert started.next_frame == len(FRAMES) + 1
    assert again.closed == 1000
    assert again.results == [one for one in whole.results if one["seq"] > 1 or one["type"] == "end"]
    answer = client.get("/v1/live/k1", headers=key).json()
    assert answer["ended"] is True
    assert [one["seq"] for one in answer["results"]] == [one.seq for one in whole.sentences]


def test_a_second_connection_takes_the_call_over(client: TestClient, key: dict[str, str]) -> None:
    with (
        line(client, key, start()) as (first, _),
        line(client, key, start(resume_from=0)) as (
            second,
            started,
        ),
    ):
        assert started.next_frame == 1
        for one in FRAMES:
            first.send_bytes(one)
        old = listen(first, Heard())
        assert old.closed == 4409
        assert old.sentences == []
        (why,) = old.of(Failed)
        assert (why.error.code, why.resumable) == ("live.superseded", False)
        for one in FRAMES:
            second.send_bytes(one)
        second.send_json({"type": "end"})
        assert listen(second, Heard()).closed == 1000


def test_mulaw_in_two_channels_is_heard_as_pcm_in_one(
    client: TestClient, key: dict[str, str]
) -> None:
    coded = np.frombuffer(encode_mulaw(TALK), np.uint8)
    both = np.stack([np.full_like(coded, 0xFF), coded], axis=1)
    stereo = [
        frame(number, both[at : at + 800].tobytes())
        for number, at in enumerate(range(0, len(coded), 800), 1)
    ]
    heard = whole_call(client, key, stereo, encoding="mulaw", channels=2, customer_channel=1)
    assert [one.start_s for one in heard.sentences] == [
        one.start_s for one in whole_call(client, key, FRAMES, call_id="k2").sentences
    ]


def test_silence_makes_no_sentence_and_is_settled(client: TestClient, key: dict[str, str]) -> None:
    with line(client, key, start()) as (socket, _):
        for one in frames_of(np.zeros(8000 * 12, np.float32), 8000):
            socket.send_bytes(one)
        heard = Heard()
        while heard.acked < 9:
            listen(socket, heard, Ack)
        socket.send_json({"type": "end"})
        listen(socket, heard)
    assert heard.sentences == []
    end = heard.events[-1]
    assert isinstance(end, Ended)
    assert (end.together.primary, end.together.reason) == (None, "no sentence to judge")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecognitionError("私事"), "service.recogniser"),
        (ServiceLostError("gone"), "service.lost"),
        (ValueError("私事"), "service.failed"),
    ],
)
def test_an_utterance_that_fails_is_told_in_its_place_and_the_call_goes_on(
    client: TestClient, key: dict[str, str], service: Listener, error: Exception, code: str
) -> None:
    def fail_once() -> None:
        if service.utterances == 2:
            raise error

    service.before = fail_once
    heard = whole_call(client, key, FRAMES)
    (failed,) = heard.of(Failed)
    assert (failed.error.code, failed.resumable) == (code, False)
    assert failed.start_s is not None
    assert "私事" not in failed.error.message
    assert failed.start_s > heard.sentences[0].end_s
    numbers = [one.seq for one in heard.events if isinstance(one, type(failed))]
    assert heard.closed == 1000
    assert sorted([*numbers, *(one.seq for one in heard.sentences)]) == list(
        range(1, len(heard.sentences) + 2)
    )


def test_a_full_service_is_asked_again(
    client: TestClient, key: dict[str, str], service: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_ray.serving.live.judging._BUSY_WAIT_S", 0.0)
    plain = whole_call(client, key, FRAMES, call_id="plain")
    asked = service.utterances

    def busy() -> None:
        if (service.utterances - asked) % 3:
            raise ServiceBusyError("full")

    service.before = busy
    assert whole_call(client, key, FRAMES).results == plain.results


def test_partial_texts_grow_and_give_way(
    config: RunConfig, store: Store, key: dict[str, str], service: Listener
) -> None:
    with (
        TestClient(application(config, service, store)) as client,
        line(client, key, start()) as (socket, _),
    ):
        heard = Heard()
        for one in FRAMES[:9]:
            socket.send_bytes(one)
        listen(socket, heard, Partial)
        for one in FRAMES[9:]:
            socket.send_bytes(one)
        socket.send_json({"type": "end"})
        listen(socket, heard)
    first = heard.of(Partial)[0]
    assert 1.0 <= float(first.text) <= 1.3
    assert first.start_s == heard.sentences[0].start_s
    assert first.seq == 0


def test_a_partial_text_that_hangs_delays_no_sentence(
    client: TestClient, key: dict[str, str], service: Listener
) -> None:
    service.before_text = lambda: asyncio.sleep(3600)
    heard = whole_call(client, key, FRAMES)
    assert heard.closed == 1000
    assert service.partials > 0
    assert heard.of(Partial) == []


def test_a_recorded_call_streamed_is_settled_frame_by_frame(
    config: RunConfig,
    service: Listener,
    store: Store,
    key: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "VoiceActivity", VoiceActivity)
    sound = recorded()
    with TestClient(application(config, service, store)) as client:
        heard = whole_call(client, key, frames_of(sound, 160))
    assert heard.closed == 1000
    spans = VoiceActivity(VadConfig()).speech(sound, 8000)
    assert [(one.start_s, one.end_s) for one in heard.sentences] == [
        (pytest.approx(span.start_s, abs=1e-3), pytest.approx(span.end_s, abs=1e-3))
        for span in spans
    ]
    assert heard.acked == -(-len(sound) // 160)
