"""POST /v1/recognitions: what goes in, what comes out, what is refused and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from persona_ray.audio.apart import Apart
from persona_ray.audio.apart_process import Bounds
from persona_ray.config import load_config
from persona_ray.errors import ConfigError
from persona_ray.inference.clips import ClipInput
from persona_ray.serving import intake
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.routes.recognitions import recognitions
from persona_ray.serving.service import Recording
from persona_ray.store import Store
from tests.services import S3
from tests.unit.serving.fakes import SURE, UNSURE, FakeService
from tests.unit.serving.sounds import USABLE, broken, encoded, good, tone

Ask = Callable[..., TestClient]
CLIPS, CALLS = "/v1/recognitions/clips", "/v1/recognitions/calls"


@pytest.fixture
def ask(store: Store, service: FakeService) -> Ask:
    """A client with a key, of a service with these settings."""
    token = store.keys.create("desk", ["recognise"]).token

    def build(*overrides: str) -> TestClient:
        services = Services(load_config(None, overrides), service, store)
        app = build_app(services, [recognitions])
        return TestClient(app, headers={"authorization": f"Bearer {token}"})

    return build


def files(*recordings: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"{number}.wav", data)) for number, data in enumerate(recordings)]


def error(answer: Any) -> tuple[int, str, str | None]:
    found = answer.json()["error"]
    return answer.status_code, found["code"], found["field"]


def test_clips_are_answered_one_by_one_and_together(ask: Ask, service: FakeService) -> None:
    silent = encoded(np.zeros((8_000, 1), np.float32))
    answer = ask().post(
        CLIPS, files=files(good(), good(), silent), data={"texts": ["嗯", "", "我想问一下"]}
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    first, second, third = body["clips"]
    assert (first["primary"], first["secondary"], first["text"]) == ("red", "blue", "嗯")
    assert first["probabilities"] == UNSURE
    assert second["confidence"] == SURE["red"]
    assert (third["primary"], third["reason"], third["clips"]) == (None, "silence", 0)
    assert body["together"]["clips"] == 2
    assert body["together"]["probabilities"]["red"] == pytest.approx(0.5)
    assert body["model"] == {"name": "persona", "version": "3"}
    assert set(body["timings_s"]) == {"reading", "judge", "total"}
    assert body["trace_id"] == answer.headers["x-trace-id"]
    # An empty text is not known: the service recognises it.
    (asked,) = service.asked
    assert [clip.text for clip in asked] == ["嗯", None, "我想问一下"]


def test_no_colour_is_named_below_the_threshold(ask: Ask) -> None:
    answer = ask("serving.abstain_below=0.5").post(
        CLIPS, files=files(good(), good()), data={"texts": ["嗯", "我想"]}
    )
    unsure, sure = answer.json()["clips"]
    assert (unsure["primary"], unsure["secondary"], unsure["abstained"]) == (None, None, True)
    assert unsure["probabilities"] == UNSURE
    assert "below 0.5" in unsure["reason"]
    assert (sure["primary"], sure["abstained"], sure["reason"]) == ("red", False, None)


def test_a_clip_of_several_channels_needs_one_named(ask: Ask, service: FakeService) -> None:
    stereo = tone(channels=2)
    stereo[:, 0] *= 0.1
    client = ask()
    upload = files(encoded(stereo))
    assert error(client.post(CLIPS, files=upload)) == (422, "audio.channel", "files[0]")
    answer = client.post(CLIPS, files=upload, data={"channel": "1"})
    assert answer.status_code == 200
    ((clip,),) = service.asked
    assert isinstance(clip, ClipInput)
    assert clip.samples is not None
    assert np.abs(clip.samples).max() == pytest.approx(0.3, abs=0.01)
    assert error(client.post(CLIPS, files=upload, data={"channel": "2"})) == (
        422, "audio.channel", "files[0]"
    )  # fmt: skip


def test_text_alone_is_for_models_that_only_read(ask: Ask, service: FakeService) -> None:
    body = {"clips": [{"text": "有没有合同"}]}
    assert error(ask().post(CLIPS, json=body)) == (422, "clip.no_audio", "clips[0]")
    service.served = FakeService(hears=False).served
    assert ask().post(CLIPS, json=body).json()["clips"][0]["text"] == "有没有合同"
    answer = ask().post(CLIPS, files=[("texts", (None, "有没有合同"))])
    assert answer.json()["clips"][0]["text"] == "有没有合同"
    assert error(ask().post(CLIPS, json={"clips": [{}]})) == (422, "clip.empty", "clips[0]")


def test_a_call_is_answered_with_its_sentences(ask: Ask, service: FakeService) -> None:
    upload = {"file": ("../../calls/K1.wav", good(channels=2))}
    answer = ask().post(CALLS, files=upload, data={"channel": "1"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["together"]["primary"] == "red"
    (sentence,) = body["sentences"]
    assert (sentence["start_s"], sentence["end_s"], sentence["text"]) == (0.5, 2.0, "听到的话")
    (asked,) = service.asked
    assert isinstance(asked, Recording)
    assert (asked.name, asked.channel, asked.data) == ("K1.wav", 1, upload["file"][1])


def test_a_silent_call_is_a_result(ask: Ask) -> None:
    silent = encoded(np.zeros((8_000, 2), np.float32))
    answer = ask().post(CALLS, files={"file": ("a.wav", silent)}, data={"channel": "0"})
    assert answer.status_code == 200
    assert (answer.json()["together"]["primary"], answer.json()["sentences"]) == (None, [])


@pytest.mark.parametrize(
    ("path", "request_", "expected"),
    [
        (CALLS, {"files": {"file": ("a.wav", b"x")}}, (422, "request.invalid", "channel")),
        (
            CALLS,
            {"files": {"file": ("a.wav", b"x")}, "data": {"channel": "-1"}},
            (422, "request.invalid", "channel"),
        ),
        (
            CALLS,
            {"files": {"file": ("a.wav", good())}, "data": {"channel": "1"}},
            (422, "audio.channel", "file"),
        ),
        (CALLS, {"files": [("channel", (None, "0"))]}, (422, "request.invalid", "file")),
        (CALLS, {"json": {"uri": "a.wav"}}, (422, "request.invalid", "channel")),
        (CALLS, {"json": {"uri": "a.wav", "channel": 0}}, (403, "uri.none_allowed", "uri")),
        (CALLS, {"content": b"x"}, (415, "request.media_type", "content-type")),
        (CLIPS, {"json": {"clips": []}}, (422, "request.invalid", "clips")),
        (CLIPS, {"json": {"clip": 1}}, (422, "request.invalid", "clips")),
        (
            CLIPS,
            {"files": files(good()), "data": {"texts": ["a\x00"]}},
            (422, "request.invalid", "texts[0]"),
        ),
        (
            CLIPS,
            {"files": files(good()), "data": {"texts": ["a", "b"]}},
            (422, "request.invalid", "texts"),
        ),
        (CLIPS, {"files": {"audio": ("a.wav", b"x")}}, (422, "request.invalid", "audio")),
        (CLIPS, {"files": files(good(), good(), good())}, (400, "request.malformed", None)),
        (CLIPS, {"data": {"files": "x"}}, (415, "request.media_type", "content-type")),
        (CLIPS, {"files": [("files", (None, "x"))]}, (422, "request.invalid", "files")),
        (CLIPS, {"files": files(good(seconds=3.0))}, (413, "audio.too_long", "files[0]")),
        (
            CALLS,
            {"files": {"file": ("a.wav", good(seconds=6.0))}, "data": {"channel": "0"}},
            (413, "audio.too_long", "file"),
        ),
        (
            CLIPS,
            {"json": {"clips": [{"text": "x" * 2001}]}},
            (422, "request.invalid", "clips[0].text"),
        ),
        (
            CLIPS,
            {"content": b'{"clips":[{"text":"\\ud800"}]}', "headers": {"content-type":
                                                                       "application/json"}},
            (422, "request.invalid", None),
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_fix(
    ask: Ask, path: str, request_: dict[str, Any], expected: tuple[int, str, str | None]
) -> None:
    client = ask(
        "serving.limits.max_clips=2", "serving.limits.max_clip_s=2", "serving.limits.max_call_s=5"
    )
    answer = client.post(path, **request_)
    assert error(answer) == expected
    said = answer.json()["error"]
    assert said["fix"]
    # A setting of archives is none of the service's.
    assert "archive." not in said["message"]


@pytest.mark.parametrize("name", broken())
@pytest.mark.parametrize("path", [CLIPS, CALLS])
def test_no_recording_breaks_the_service(ask: Ask, path: str, name: str) -> None:
    field = "files" if path == CLIPS else "file"
    answer = ask().post(path, files={field: (name, broken()[name])}, data={"channel": "0"})
    # Each is refused as audio, or can be used after all.
    if answer.status_code != 200:
        status, code, wrong = error(answer)
        assert status in (413, 422)
        assert code.startswith("audio.")
        assert wrong == ("files[0]" if path == CLIPS else "file")
    usable = name in USABLE or (name == "long.wav" and path == CALLS)
    assert (answer.status_code == 200) == usable, answer.text


def test_a_recording_that_ends_its_decoder_costs_nobody_else_an_answer(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = Apart(1, Bounds(1024, 30.0), "tests.unit.audio.planted")
    monkeypatch.setattr(intake, "decoder_of", lambda _: planted)
    client = ask()
    for file in (b"ABORT", b"CRASH", b"NONSENSE"):
        answer = client.post(CLIPS, files=files(file))
        assert error(answer) == (422, "audio.decoder", "files[0]")
        assert client.post(CLIPS, files=files(good())).status_code == 200
    planted.close()


def test_uris_are_opened_below_the_roots_alone(ask: Ask, tmp_path: Path) -> None:
    root, outside = tmp_path / "recordings", tmp_path / "recordings-private"
    for folder in (root, outside):
        folder.mkdir()
        (folder / "a.wav").write_bytes(good())
    (root / "link.wav").symlink_to(outside / "a.wav")
    (root / "circle.wav").symlink_to(root / "circle.wav")
    (root / "bad.wav").write_bytes(b"no audio")
    client = ask(f"serving.limits.uri_roots=[{root}, 's3://recordings/calls']")

    def clip(uri: str) -> Any:
        return client.post(CLIPS, json={"clips": [{"uri": uri}]})

    assert clip(f"{root}/a.wav").json()["together"]["primary"] == "red"
    assert clip(f"file://{root}/a.wav").status_code == 200
    assert client.post(CALLS, json={"uri": f"{root}/a.wav", "channel": 0}).status_code == 200
    assert error(clip(f"{root}/bad.wav")) == (422, "audio.not_audio", "clips[0]")
    assert error(clip(f"{root}/absent.wav")) == (422, "audio.unreadable", "clips[0]")
    for uri in (
        f"{outside}/a.wav",
        f"{root}/../recordings-private/a.wav",
        f"{root}/%2e%2e/recordings-private/a.wav",
        f"{root}/link.wav",
        f"{root}/circle.wav",
        f"{root}",
        "a.wav",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:8265/api/version",
        "http://169.254.169.254/latest/meta-data",
        "s3://recordings/calls-private/a.wav",
        "s3://recordings/calls/../private/a.wav",
        "s3://recordings/calls/..%2fprivate/a.wav",
        "gs://recordings/calls/a.wav",
        "zip://a.wav::s3://recordings/calls/a.zip",
        f"simplecache::file://{root}/a.wav",
        f"{root}\\..\\a.wav",
    ):
        assert error(clip(uri)) == (403, "uri.not_allowed", "clips[0].uri"), uri
    assert error(clip(f"{root}/a.wav\x00.txt")) == (422, "request.invalid", "clips[0].uri")


@pytest.mark.parametrize("root", ["recordings", "http://host/calls", "https://host", "s3://", ""])
def test_roots_that_would_open_too_much_are_refused(root: str) -> None:
    with pytest.raises(ConfigError, match="uri_roots"):
        load_config(None, [f"serving.limits.uri_roots=['{root}']"])


def test_what_was_answered_is_counted(store: Store, service: FakeService) -> None:
    token = store.keys.create("desk", ["admin"]).token
    services = Services(load_config(), service, store)
    client = TestClient(
        build_app(services, [recognitions]), headers={"authorization": f"Bearer {token}"}
    )
    client.post(CLIPS, files=files(good(), good()))
    client.post(CALLS, files={"file": ("a.wav", good())}, data={"channel": "0"})
    client.post(CLIPS, files=files(b""))
    text = services.metrics.text().decode()
    for line in (
        f'persona_requests_total{{method="POST",route="{CLIPS}",status="200"}} 1.0',
        f'persona_requests_total{{method="POST",route="{CLIPS}",status="422"}} 1.0',
        'persona_refused_total{code="audio.empty"} 1.0',
        'persona_colours_total{colour="red"} 3.0',
        'persona_audio_seconds_total{kind="clip"} 2.0',
        'persona_audio_seconds_total{kind="call"} 1.5',
        'persona_stage_seconds_count{stage="hear"} 1.0',
        "persona_confidence_count 3.0",
    ):
        assert line in text.splitlines(), line


def test_recordings_of_a_bucket(ask: Ask, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3.client().put_object(Bucket=s3.bucket, Key="calls/a.wav", Body=good())
    client = ask(f"serving.limits.uri_roots=['{s3.uri}/calls']")

    def clip(name: str) -> Any:
        return client.post(CLIPS, json={"clips": [{"uri": f"{s3.uri}/calls/{name}"}]})

    assert clip("a.wav").json()["together"]["primary"] == "red"
    assert error(clip("absent.wav")) == (422, "audio.unreadable", "clips[0]")
    # Not the client's fault: the same request may be sent again.
    with s3.front.failing(status=503):
        assert error(clip("a.wav")) == (503, "audio.storage", "clips[0]")
    assert clip("a.wav").status_code == 200
