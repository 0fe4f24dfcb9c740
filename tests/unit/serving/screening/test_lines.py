"""The line of a screened call: what is refused, what waits for the phone, how the robot sounds."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from persona_ray.audio.g711 import decode_alaw, decode_mulaw
from persona_ray.errors import RequestError
from persona_ray.inference.screening.speaking import RobotSound
from persona_ray.serving.live.protocol import Ack, Sound
from persona_ray.serving.screening.outbox import Outbox
from persona_ray.serving.screening.protocol import Clear, LineDone, Played, TurnSaid
from persona_ray.serving.screening.robot_sound import RobotFrames
from persona_ray.store import Store
from tests.unit.serving.screening.parts import (
    CALLS,
    FRAUD,
    SAID,
    Fakes,
    Heard,
    key_of,
    line,
    listen,
    over,
    whole,
)

pytestmark = pytest.mark.anyio
NUMBER = "+8613800138000"


def refused(client: TestClient, headers: dict[str, str], *messages: Any) -> tuple[int, str, bool]:
    """Code of the close, code of the error, and whether to come again."""
    with client.websocket_connect(CALLS, headers=headers) as socket:
        for message in messages:
            if isinstance(message, bytes):
                socket.send_bytes(message)
            else:
                socket.send_json(message)
        heard = listen(socket, Heard(), whole)
    (error,) = [one for one in heard.events if one.type == "error"]
    return heard.closed, error.error.code, error.resumable


def start(**changes: Any) -> dict[str, Any]:
    return {"type": "start", "call_id": "k1", **changes}


def test_what_a_line_refuses(client: TestClient, key: dict[str, str], store: Store) -> None:
    begun = start(number=NUMBER)
    assert refused(client, key, SAID[0]) == (4400, "live.message", True)
    assert refused(client, key, {"type": "end"}) == (4400, "live.message", True)
    assert refused(client, key, start(nonsense=1)) == (4400, "live.message", True)
    # Neither an event nor a number: nobody knows of the call.
    assert refused(client, key, start()) == (4404, "screening.unknown", False)
    assert refused(client, key, start(resume_from=3)) == (4404, "screening.unknown", False)
    assert refused(client, key, start(user_id="wang")) == (4403, "screening.user", False)
    assert refused(client, key, begun, SAID[1]) == (4400, "live.missing_frames", True)
    odd = SAID[0] + b"x"
    again = start(resume_from=0)
    assert refused(client, key, again, odd) == (4400, "live.odd_bytes", True)
    assert refused(client, key, again, again) == (4400, "live.message", True)
    # What an earlier connection said of its sound binds once something of the call is settled.
    with line(client, key, resume_from=0) as (socket, _):
        listen(socket, Heard(), lambda event: isinstance(event, TurnSaid))
    other = start(resume_from=0, encoding="mulaw")
    assert refused(client, key, other) == (4409, "live.sound", False)
    reader = key_of(store, "li", "screening")
    with client.websocket_connect("/v1/screening/notices", headers=reader) as socket:
        socket.send_json({"type": "start", "user_id": "wang"})
        assert socket.receive_json()["error"]["code"] == "screening.user"


def test_who_goes_on_with_a_call_has_it(client: TestClient, key: dict[str, str]) -> None:
    with line(client, key, number=NUMBER) as (first, _):
        early = listen(first, Heard(), over)
        with line(client, key, resume_from=0) as (second, started):
            assert started.next_frame == 1
            again = Heard()
            listen(second, again, over)
            # What was told before is told again.
            told = early.of(LineDone)
            assert [one.action for one in told] == ["pick_up"]
            assert again.of(LineDone) == told
            listen(first, early, whole)
            second.send_json({"type": "end"})
            listen(second, again, whole)
    assert early.closed == 4409
    assert again.closed == 1000


async def test_sound_that_waits_is_dropped_and_events_are_not() -> None:
    outbox = Outbox(4)
    outbox.put(Played(seq=0, over=False))
    for number in range(300):
        outbox.play(bytes([number % 256]))
    outbox.put(Ack(seq=0, frame=1, received=2))
    outbox.put(Ack(seq=0, frame=2, received=3))
    # Of a phone that reads nothing no more than some seconds are kept.
    waiting = [await outbox.get() for _ in range(3)]
    assert waiting == [Played(seq=0, over=False), b"\x00", b"\x01"]
    outbox.clear(1)
    outbox.close()
    assert await outbox.get() == Ack(seq=0, frame=2, received=3)
    assert await outbox.get() == Clear(seq=1)
    assert await outbox.get() is None
    for _ in range(4):
        outbox.put(Played(seq=0, over=True))
    # An acknowledgement may wait for the next one; an event may not be lost.
    outbox.put(Ack(seq=0, frame=3, received=4))
    with pytest.raises(RequestError) as slow:
        outbox.put(Played(seq=0, over=True))
    assert slow.value.status == 429


@pytest.mark.parametrize("encoding", ["pcm16", "mulaw", "alaw"])
def test_the_robot_sounds_in_the_callers_encoding(encoding: Any) -> None:
    frames = RobotFrames(Sound(encoding=encoding, channels=2))
    times = np.arange(16_000) / 16_000
    tone = (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    sent = []
    for saying in (1, 2):
        for at in range(0, len(tone), 640):
            frame, _ = frames.frame(RobotSound(saying, tone[at : at + 640], 16_000))
            if frame:
                sent.append(frame)
    assert [int.from_bytes(one[:4]) for one in sent] == list(range(1, len(sent) + 1))
    payload = b"".join(one[4:] for one in sent)
    if encoding == "pcm16":
        heard = np.frombuffer(payload, "<i2").astype(np.float32) / np.float32(32_768)
    else:
        heard = (decode_mulaw if encoding == "mulaw" else decode_alaw)(payload)
    # One channel, the robot's two seconds but for what the filter holds back.
    assert len(heard) == pytest.approx(16_000, abs=200)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    np.testing.assert_allclose(heard[100:4000], expected[100:], atol=0.03)


def test_the_user_hears_nothing_of_a_screened_call_and_is_not_heard(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    fake.ears.texts = [FRAUD]
    loud = np.full(8000, 12_000, dtype="<i2").tobytes()
    heard = Heard()
    with client.websocket_connect("/v1/screening/notices", headers=key) as user:
        user.send_json({"type": "start", "after": 0})
        with line(client, key, number=NUMBER) as (socket, _):
            listen(socket, heard, over)
            # The user has a line, and speaks into it.
            user.send_bytes((1).to_bytes(4) + loud)
            for one in SAID:
                socket.send_bytes(one)
            listen(socket, heard, whole)
        told: list[Any] = []
        while not told or told[-1]["kind"] != "verdict":
            # Sound would be bytes: this line is of words alone.
            told.append(json.loads(user.receive()["text"]))
        assert {one["type"] for one in told} == {"notice"}
    # Nobody was put through: the line was picked up by the robot, and hung up.
    assert [one.action for one in heard.of(LineDone)] == ["pick_up", "hang_up"]
    call = client.get("/v1/screening/calls/k1", headers=key).json()
    sound = client.get(call["links"]["recording"]).content
    both, rate_hz = soundfile.read(io.BytesIO(sound), dtype="float32")
    sent = np.frombuffer(b"".join(one[4:] for one in SAID), dtype="<i2") / 32_768
    assert abs(len(both) - len(sent)) <= rate_hz
    # Of the two sides, the caller's is what the caller sent, and nothing else.
    assert np.abs(both[: len(sent), 0] - sent).mean() < 0.05
    said = sum(len(one) - 4 for one in heard.sound) // 2
    assert np.count_nonzero(np.abs(both[:, 1]) > 0.01) <= 1.1 * said
