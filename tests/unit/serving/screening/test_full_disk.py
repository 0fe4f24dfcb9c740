"""There is no room for the recording of a call: the phone is told to come again, and what it had
been told stands."""

from __future__ import annotations

import errno
import io

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from persona_ray.serving.screening.tracks import Journal, What
from tests.unit.serving.screening.parts import (
    FRAUD,
    SAID,
    Fakes,
    Heard,
    line,
    listen,
    over,
    whole,
)

NUMBER = "+8613800138000"


def test_a_call_goes_on_once_there_is_room_for_its_recording(
    client: TestClient, key: dict[str, str], fake: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.ears.texts = [FRAUD, FRAUD]
    full, add = [True], Journal.add

    def written(journal: Journal, pieces: list[tuple[What, int, bytes]]) -> None:
        if full[0] and any(what is What.CALLER for what, _, _ in pieces):
            raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")
        add(journal, pieces)

    monkeypatch.setattr(Journal, "add", written)
    heard = Heard()
    with line(client, key, number=NUMBER) as (socket, _):
        listen(socket, heard, over)
        for one in SAID:
            socket.send_bytes(one)
        listen(socket, heard, whole)
    failed = heard.events[-1]
    assert (failed.type, failed.error.code, failed.resumable) == ("error", "service.disk", True)  # type: ignore[union-attr]
    assert "/somewhere" not in failed.model_dump_json()

    full[0] = False
    seen = max(one.seq for one in heard.events)
    rest = Heard()
    with line(client, key, resume_from=seen) as (socket, started):
        # All that was not acknowledged is asked for again.
        for one in SAID[started.next_frame - 1 :]:
            socket.send_bytes(one)
        listen(socket, rest, whole)
    assert rest.closed == 1000
    call = client.get("/v1/screening/calls/k1", headers=key).json()
    assert call["outcome"] == "hung_up"
    assert [turn["text"] for turn in call["turns"] if turn["speaker"] == "caller"] == [FRAUD]
    sound, _ = soundfile.read(io.BytesIO(client.get(call["links"]["recording"]).content))
    assert np.abs(sound[:, 0]).max() > 0.4
