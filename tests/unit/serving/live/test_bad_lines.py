"""Everything that is wrong on a live line is named, with what to do, and closes with its code."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig, load_config
from persona_ray.errors import StoreError
from persona_ray.serving import gate
from persona_ray.serving.live import connection
from persona_ray.serving.live.frames import frame
from persona_ray.serving.live.protocol import Ended, Failed, Sentence
from persona_ray.store import Store
from tests.unit.serving.live.lines import (
    LIVE,
    Heard,
    Listener,
    application,
    frames_of,
    key_of,
    line,
    listen,
    start,
    whole_call,
)
from tests.unit.serving.live.sounds import talk

FRAMES = frames_of(talk((1.2, 1.5), (0.8, 1.5)))

pytestmark = pytest.mark.usefixtures("loud")


def changed(config: RunConfig, *overrides: str) -> RunConfig:
    return load_config(None, [f"workspace={config.workspace}", *overrides])


def said(client: TestClient, key: dict[str, str], *messages: str | bytes) -> tuple[Failed, int]:
    with client.websocket_connect(LIVE, headers=key) as socket:
        for message in messages:
            if isinstance(message, bytes):
                socket.send_bytes(message)
            else:
                socket.send_text(message)
        heard = listen(socket, Heard())
    (failed,) = heard.of(Failed)
    assert failed.error.fix
    assert failed.error.trace_id
    return failed, heard.closed


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        ("{", None, "no JSON"),
        ("[" * 8000, None, "no JSON"),
        ("[]", None, ""),
        ('"start"', None, ""),
        ("x" * 9000, None, "9000 characters"),
        (json.dumps({"type": "hello"}), None, "hello"),
        (json.dumps({"type": "start"}), "call_id", "required"),
        (json.dumps(start("")), "call_id", "at least 1"),
        (json.dumps(start("a\nb")), "call_id", "pattern"),
        (json.dumps(start("k" * 129)), "call_id", "at most 128"),
        (json.dumps(start(encoding="opus")), "encoding", "'pcm16', 'mulaw' or 'alaw'"),
        (json.dumps(start(sample_rate_hz=4000)), "sample_rate_hz", "8000"),
        (json.dumps(start(customer_channel=1)), None, "customer_channel 1 is not among 1"),
        (json.dumps(start(resume_from=-1)), "resume_from", "greater than or equal to 0"),
        (json.dumps(start(volume=3)), "volume", "not permitted"),
        (json.dumps({"type": "end"}), "type", "end before start"),
        (FRAMES[0], "type", "a frame before start"),
    ],
)
def test_a_bad_beginning(
    client: TestClient, key: dict[str, str], message: str | bytes, field: str | None, text: str
) -> None:
    failed, closed = said(client, key, message)
    assert (closed, failed.error.code, failed.error.field) == (4400, "live.message", field)
    assert text in failed.error.message
    # In our words, not in those of the library that checks.
    assert "Value error" not in failed.error.message


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (b"\0\0", "live.frame", "2 bytes"),
        (frame(1, b"odd"), "live.odd_bytes", "1 channel(s) of pcm16 take 2 bytes"),
        (frame(1, bytes(2 * 8001)), "live.long_frame", "1.0 s"),
        (frame(2, bytes(320)), "live.missing_frames", "frame 2 has come without 1"),
        (frame(9, bytes(320)), "live.missing_frames", "frame 9 has come without 1 to 8"),
        (json.dumps(start()), "live.message", "start is the first message"),
    ],
)
def test_a_bad_frame(
    client: TestClient, key: dict[str, str], message: str | bytes, code: str, text: str
) -> None:
    failed, closed = said(client, key, json.dumps(start()), message)
    assert (closed, failed.error.code, failed.resumable) == (4400, code, True)
    assert text in failed.error.message


def test_an_empty_frame_keeps_the_line(client: TestClient, key: dict[str, str]) -> None:
    assert whole_call(client, key, [frame(1, b""), frame(2, b"")]).closed == 1000


def test_who_has_no_key_or_no_scope_gets_no_line(client: TestClient, store: Store) -> None:
    for headers, status in (({}, 401), (key_of(store, scope="jobs"), 403)):
        with (
            pytest.raises(Exception) as caught,
            client.websocket_connect(LIVE, headers=headers),
        ):
            pass
        assert getattr(caught.value, "status_code", None) == status


def test_a_line_ends_with_its_key(
    client: TestClient, key: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEY_AGE_S", 0.01)
    monkeypatch.setattr(gate, "KEY_AGE_S", 0.0)
    with line(client, key, start()) as (socket, _):
        store.keys.revoke(name="shop")
        heard = listen(socket, Heard())
    (failed,) = heard.of(Failed)
    assert (heard.closed, failed.error.code, failed.resumable) == (4401, "key.revoked", False)


def test_a_line_is_told_that_the_service_ends_and_goes_on_with_another(
    config: RunConfig, store: Store, key: dict[str, str]
) -> None:
    with TestClient(application(config, Listener(), store)) as ending:
        traffic = ending.app.state.traffic  # type: ignore[attr-defined]
        with line(ending, key, start()) as (socket, _):
            for message in FRAMES:
                socket.send_bytes(message)
            heard = listen(socket, Heard(), until=Sentence)
            assert traffic.lines == 1
            traffic.ending = True
            listen(socket, heard)
        (failed,) = heard.of(Failed)
        assert (heard.closed, failed.error.code) == (4503, "service.ending")
        assert failed.resumable
        assert "resume_from" in failed.error.fix
        assert traffic.lines == 0
    with TestClient(application(config, Listener(), store)) as other:
        seen = heard.sentences[-1].seq
        with line(other, key, start(resume_from=seen)) as (socket, started):
            for message in FRAMES[started.next_frame - 1 :]:
                socket.send_bytes(message)
            socket.send_json({"type": "end"})
            listen(socket, heard)
        whole = whole_call(other, key, FRAMES, call_id="k2")
    assert [one.text for one in heard.sentences] == [one.text for one in whole.sentences]


def test_another_keys_calls_are_not_there(
    client: TestClient, key: dict[str, str], store: Store
) -> None:
    whole_call(client, key, FRAMES)
    other = key_of(store, "bank")
    failed, closed = said(client, other, json.dumps(start(resume_from=1)))
    assert (closed, failed.error.code, failed.resumable) == (4404, "live.unknown", False)
    assert client.get("/v1/live/k1", headers=other).status_code == 404
    assert client.delete("/v1/live/k1", headers=other).status_code == 404
    assert client.delete("/v1/live/k1", headers=key).status_code == 204
    answer = client.get("/v1/live/k1", headers=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "live.unknown")


def test_what_has_begun_is_not_begun_again_nor_gone_on_with_otherwise(
    client: TestClient, key: dict[str, str], store: Store, config: RunConfig
) -> None:
    whole_call(client, key, FRAMES)
    failed, closed = said(client, key, json.dumps(start()))
    assert (closed, failed.error.code, failed.error.field) == (4409, "live.exists", "call_id")
    failed, closed = said(client, key, json.dumps(start(resume_from=1, encoding="alaw")))
    assert (closed, failed.error.code) == (4409, "live.sound")
    otherwise = changed(config, "vad.threshold=0.6")
    with TestClient(application(otherwise, Listener(), store)) as other:
        failed, closed = said(other, key, json.dumps(start(resume_from=1)))
    assert (closed, failed.error.code, failed.resumable) == (4409, "live.changed", False)


def test_a_call_that_was_gone_too_long_is_unknown_and_its_texts_are(
    client: TestClient, key: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime, timedelta

    whole_call(client, key, FRAMES)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Later:
            return super().now(tz or UTC) + timedelta(seconds=601)

    monkeypatch.setattr("persona_ray.store.database.datetime", Later)
    failed, closed = said(client, key, json.dumps(start(resume_from=1)))
    assert (closed, failed.error.code) == (4404, "live.unknown")
    assert store.live_calls.results("shop", "k1") == []


def test_a_call_that_is_too_long_is_ended_there(
    config: RunConfig, store: Store, key: dict[str, str]
) -> None:
    short = changed(config, "serving.limits.max_call_s=2.5")
    with TestClient(application(short, Listener(), store)) as client:
        heard = whole_call(client, key, FRAMES)
    assert heard.closed == 4413
    assert [type(event) for event in heard.events[-2:]] == [Ended, Failed]
    assert len(heard.sentences) == 1
    (failed,) = heard.of(Failed)
    assert (failed.error.code, failed.resumable) == ("live.too_long", False)
    assert heard.acked == 12


def test_a_line_without_frames_is_closed_and_can_be_gone_on_with(
    config: RunConfig, store: Store, key: dict[str, str]
) -> None:
    hasty = changed(config, "serving.live.idle_timeout_s=0.05")
    with TestClient(application(hasty, Listener(), store)) as client:
        with line(client, key, start()) as (socket, _):
            heard = listen(socket, Heard())
        failed = heard.events[-1]
        assert isinstance(failed, Failed)
        assert (heard.closed, failed.error.code, failed.resumable) == (4408, "live.idle", True)
    with TestClient(application(config, Listener(), store)) as client:
        assert whole_call(client, key, FRAMES, resume_from=0).closed == 1000


def test_more_calls_than_a_replica_takes_are_refused(
    config: RunConfig, store: Store, key: dict[str, str]
) -> None:
    narrow = changed(config, "serving.limits.max_live_calls=1")
    with TestClient(application(narrow, Listener(), store)) as client:
        with line(client, key, start("k1")):
            failed, closed = said(client, key, json.dumps(start("k2")))
            assert (closed, failed.error.code, failed.resumable) == (4503, "service.busy", True)
        assert whole_call(client, key, FRAMES, call_id="k3").closed == 1000


def test_what_cannot_be_kept_is_not_acknowledged(
    client: TestClient, key: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StoreError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(type(store.live_calls), "settle", full)
        heard = whole_call(client, key, FRAMES)
    failed = heard.events[-1]
    assert isinstance(failed, Failed)
    assert (heard.closed, failed.error.code, failed.resumable) == (4503, "service.store", True)
    assert (heard.acked, heard.sentences) == (0, [])
    assert whole_call(client, key, FRAMES, resume_from=0).closed == 1000


def test_a_frame_may_be_a_second_long_and_stray_bytes_break_nothing(
    client: TestClient, key: dict[str, str]
) -> None:
    rng = np.random.default_rng(3)
    for number in range(20):
        noise = rng.integers(0, 256, int(rng.integers(0, 300)), dtype=np.uint8).tobytes()
        with line(client, key, start(f"fuzz {number}")) as (socket, _):
            socket.send_bytes(noise)
            socket.send_text(noise.decode("latin-1"))
            heard = listen(socket, Heard())
        assert heard.closed == 4400
    assert whole_call(client, key, frames_of(talk((1.0, 2.0)), 8000)).closed == 1000


@pytest.mark.parametrize("path", [LIVE, "/v1/twilio"])
def test_a_plain_request_is_told_of_the_protocol(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    error = answer.json()["error"]
    assert error["code"] == "request.upgrade"
    assert "websocket" in error["fix"]
    assert path in error["message"]
