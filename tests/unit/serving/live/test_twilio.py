"""Twilio Media Streams: the same call by other words."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from persona_ray.audio.g711 import decode_mulaw, encode_mulaw
from tests.unit.serving.live.lines import (
    frames_of,
    whole_call,
)
from tests.unit.serving.live.sounds import talk

CODED = encode_mulaw(talk((1.2, 0.4), (0.8, 1.5), (2.0, 1.2)))
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
STOP = {"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}}

pytestmark = pytest.mark.usefixtures("loud")


def start(key: str, **parameters: str) -> dict[str, Any]:
    return {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "accountSid": "AC1",
            "streamSid": "MZ1",
            "callSid": "CA1",
            "tracks": ["inbound", "outbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"key": key, **parameters},
        },
    }


def media(payload: bytes, number: int, track: str = "inbound") -> dict[str, Any]:
    return {
        "event": "media",
        "sequenceNumber": str(number),
        "streamSid": "MZ1",
        "media": {
            "track": track,
            "chunk": str(number),
            "timestamp": str(20 * number),
            "payload": base64.b64encode(payload).decode(),
        },
    }


def talked(socket: WebSocketTestSession) -> None:
    for number, at in enumerate(range(0, len(CODED), 160), 1):
        socket.send_json(media(CODED[at : at + 160], number))
        socket.send_json(media(bytes(reversed(CODED[at : at + 160])), number, "outbound"))
        if number == 5:
            socket.send_json({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "1"}})


def answers(socket: WebSocketTestSession) -> tuple[list[dict[str, Any]], int]:
    found = []
    try:
        while True:
            found.append(socket.receive_json())
    except WebSocketDisconnect as closed:
        return found, closed.code


def test_a_stream_is_a_live_call(client: TestClient, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    plain = whole_call(client, headers, frames_of(decode_mulaw(CODED), 160))
    with client.websocket_connect("/v1/twilio") as socket:
        for message in (CONNECTED, start(token, answers="json")):
            socket.send_json(message)
        talked(socket)
        socket.send_json(STOP)
        found, closed = answers(socket)
    assert closed == 1000
    assert {(one["event"], one["streamSid"]) for one in found} == {("persona-ray", "MZ1")}
    wanted = [one["payload"] for one in found if one["payload"]["type"] == "sentence"]
    assert [(one["start_s"], one["text"]) for one in wanted] == [
        (one.start_s, one.text) for one in plain.sentences
    ]
    kept = client.get("/v1/live/MZ1", headers=headers).json()
    assert kept["ended"] is True
    assert len(kept["results"]) == len(plain.sentences)


def test_colours_come_as_marks(client: TestClient, token: str) -> None:
    with client.websocket_connect("/v1/twilio") as socket:
        socket.send_json(start(token))
        talked(socket)
        socket.send_json(STOP)
        found, _ = answers(socket)
    assert {one["event"] for one in found} == {"mark"}
    assert [one["mark"]["name"].rpartition(";")[2] for one in found] == [
        "sentences=1",
        "sentences=2",
        "sentences=3",
    ]
    assert found[0]["mark"]["name"].startswith("colour=")


def test_a_stream_that_breaks_is_settled_as_far_as_it_came(client: TestClient, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    with client.websocket_connect("/v1/twilio") as socket:
        socket.send_json(start(token, track="outbound"))
        talked(socket)
        socket.close()
        # The session's end would cancel what the service still does.
        deadline = time.monotonic() + 30
        kept: dict[str, Any] = {}
        while not kept.get("ended"):
            assert time.monotonic() < deadline, kept
            kept = client.get("/v1/live/MZ1", headers=headers).json()
    assert len(kept["results"]) == 3


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["{"], 4400),
        (["x" * 70_000], 4400),
        ([json.dumps({"event": "hello"})], 4400),
        ([json.dumps(STOP)], 4400),
        ([json.dumps(media(b"", 1))], 4400),
        ([json.dumps({**start(""), "start": {}})], 4400),
        ([json.dumps(start("", answers="shout"))], 4400),
        ([json.dumps(start("", customer_id="a\nb"))], 4400),
        ([json.dumps(start(""))], 4401),
        ([json.dumps(start("pr_a_b"))], 4401),
        ([json.dumps(start("密"))], 4401),
        (["KEY", "KEY"], 4400),
        (["KEY", json.dumps({"event": "media", "media": {"payload": "*"}})], 4400),
    ],
)
def test_what_is_wrong_closes_the_stream(
    client: TestClient, token: str, messages: list[str], code: int
) -> None:
    with client.websocket_connect("/v1/twilio") as socket:
        for message in messages:
            socket.send_text(json.dumps(start(token)) if message == "KEY" else message)
        assert answers(socket) == ([], code)


def test_sound_is_text_here(client: TestClient) -> None:
    with client.websocket_connect("/v1/twilio") as socket:
        socket.send_bytes(b"\0\0\0\1")
        assert answers(socket)[1] == 4400
