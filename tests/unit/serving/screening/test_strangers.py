"""Who tries what nobody should: odd times, numbers and rates, calls that are deleted, floods."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from persona_ray.config import RunConfig
from persona_ray.serving.application import build_app
from persona_ray.serving.live.frames import frame
from persona_ray.serving.routes.screening_calls import screening_calls
from persona_ray.serving.routes.screening_live import screening_live
from persona_ray.serving.routes.screening_reports import screening_reports
from persona_ray.serving.screening.recordings import Recorder, Recordings
from persona_ray.store import Store
from persona_ray.store.screening.call_tables import ScreenedCallRow
from tests.unit.serving.screening.parts import (
    SAID,
    Fakes,
    Heard,
    key_of,
    line,
    listen,
    over,
    services_of,
    whole,
)
from tests.unit.vault.fixed import a_vault

EVENTS = "/v1/screening/events"
NUMBER = "+8613800138000"


@pytest.fixture
def client(loud: None, screening: RunConfig, store: Store, fake: Fakes) -> Iterator[TestClient]:
    """With reports, too."""
    del loud
    routes = [screening_calls, screening_live, screening_reports]
    with TestClient(build_app(services_of(screening, store, fake), routes)) as opened:
        yield opened


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-01-01T00:00:00",
        (datetime.now(UTC) + timedelta(days=2)).isoformat(),
    ],
)
def test_a_call_of_no_time_is_refused(client: TestClient, key: dict[str, str], at: str) -> None:
    answer = client.post(EVENTS, json={"call_id": "k1", "at": at}, headers=key)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "at")
    with client.websocket_connect("/v1/screening/calls", headers=key) as socket:
        socket.send_json({"type": "start", "call_id": "k1", "number": "", "at": at})
        heard = listen(socket, Heard(), whole)
    assert heard.closed == 4400
    before = client.get("/v1/screening/calls", params={"before": f"{at} k1"}, headers=key)
    assert before.status_code in (200, 422)


@pytest.mark.parametrize("number", ["\x00", "sip:" + "9" * 900, "；drop", "+" + "8" * 60])
def test_whatever_stands_for_a_number_is_screened(
    client: TestClient, key: dict[str, str], number: str
) -> None:
    """A caller who could have his event refused would not be screened."""
    answer = client.post(EVENTS, json={"call_id": "k1", "number": number}, headers=key)
    assert (answer.status_code, answer.json()["action"]) == (200, "screen")
    assert client.get("/v1/screening/calls/k1", headers=key).json()["number"] == ""


def test_a_long_address_of_a_known_number_is_that_number(
    client: TestClient, key: dict[str, str]
) -> None:
    number = f"sip:{NUMBER}@{'sbc.' * 20}example;user=phone"
    client.post(EVENTS, json={"call_id": "k1", "number": number}, headers=key)
    assert client.get("/v1/screening/calls/k1", headers=key).json()["number"] == NUMBER


def test_an_old_calls_answer_is_none_for_a_new_call(
    client: TestClient, key: dict[str, str], store: Store
) -> None:
    """A switch that counts from one again does not let somebody through by it."""
    event = {"call_id": "1", "number": NUMBER}
    client.post(EVENTS, json=event, headers=key)
    client.post("/v1/screening/calls/1/answer", json={"choice": "pass"}, headers=key)
    assert client.post(EVENTS, json=event, headers=key).status_code == 200
    with store.write() as session:
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        session.execute(update(ScreenedCallRow).values(ended_at=long_ago))
    again = client.post(EVENTS, json=event, headers=key)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "screening.exists")


def test_a_zero_character_is_in_no_text(client: TestClient, key: dict[str, str]) -> None:
    for path in ("calls/%00", "calls?category=%00", "calls?before=x%00"):
        answer = client.get(f"/v1/screening/{path}", headers=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request.malformed")
    report = {"kind": "voices", "key": "a\x00", "category": "loans"}
    answer = client.post("/v1/screening/reports", json=report, headers=key)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "key")


def test_hidden_numbers_are_not_one_person(client: TestClient, store: Store) -> None:
    operator = key_of(store, "op", "operator", "screen", "screening")
    client.post(EVENTS, json={"call_id": "k1", "number": ""}, headers=operator)
    answer = client.delete("/v1/screening/calls", params={"number": " "}, headers=operator)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "number.withheld")
    assert client.get("/v1/screening/calls/k1", headers=operator).status_code == 200


def test_notices_after_a_number_that_none_will_have(
    client: TestClient, key: dict[str, str]
) -> None:
    with client.websocket_connect("/v1/screening/notices", headers=key) as socket:
        socket.send_json({"type": "start", "after": 2**63})
        assert socket.receive_json()["error"]["code"] == "live.message"


def test_a_line_of_an_odd_rate(client: TestClient, key: dict[str, str]) -> None:
    rate_hz = 8001
    with line(client, key, number=NUMBER, sample_rate_hz=rate_hz) as (socket, _):
        heard = listen(socket, Heard(), over)
        # Frames without sound are frames.
        for number in range(1, 6):
            socket.send_bytes(frame(number, b"" if number % 2 else bytes(rate_hz // 2 * 2)))
        socket.send_json({"type": "end"})
        listen(socket, heard, whole)
    assert heard.closed == 1000
    assert heard.sound


def test_a_call_that_is_deleted_while_it_goes_on(
    client: TestClient, key: dict[str, str], tmp_path: Path
) -> None:
    """Its line ends, and nothing of it stays."""
    with line(client, key, number=NUMBER) as (socket, _):
        heard = listen(socket, Heard(), over)
        for one in SAID:
            socket.send_bytes(one)
        assert client.delete("/v1/screening/calls/k1", headers=key).status_code == 204
        listen(socket, heard, whole)
    assert heard.closed == 4409
    assert client.get("/v1/screening/calls/k1", headers=key).status_code == 404
    assert not [one for one in (tmp_path / "screening" / "recordings").rglob("*") if one.is_file()]


def test_a_recording_is_deleted_while_it_is_written(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    place = recordings.place("abcd")
    recorder, ended = Recorder(recordings.folder(place), 8000, a_vault()), threading.Event()

    def write() -> None:
        while not ended.is_set():
            try:
                recorder.flush()
            except FileNotFoundError:
                return

    writing = threading.Thread(target=write)
    writing.start()
    time.sleep(0.05)
    try:
        recordings.delete([place])
    finally:
        ended.set()
        writing.join()
    assert not recordings.folder(place).exists()


def test_reports_at_once_from_one_key(
    client: TestClient, store: Store, screening: RunConfig
) -> None:
    """They are no more than one after the other."""
    key = key_of(store, "li", "screening")

    def report(number: int) -> int:
        body: dict[str, Any] = {
            "kind": "numbers",
            "key": f"+86138001390{number:02d}",
            "category": "loans",
        }
        return client.post("/v1/screening/reports", json=body, headers=key).status_code

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(report, range(50)))
    most = screening.screening.reports.per_day
    assert (answers.count(201), answers.count(429)) == (most, 50 - most)


def test_nobody_touches_anothers_call(client: TestClient, store: Store) -> None:
    mine, his = key_of(store, "li"), key_of(store, "wang")
    client.post(EVENTS, json={"call_id": "k1", "number": NUMBER}, headers=mine)
    where = "/v1/screening/calls/k1"
    asked = [
        client.get(where, headers=his),
        client.delete(where, headers=his),
        client.post(f"{where}/answer", json={"choice": "pass"}, headers=his),
        client.post(f"{where}/correction", json={"category": "loans"}, headers=his),
    ]
    assert {answer.status_code for answer in asked} == {404}
    assert client.get(where, headers=mine).json()["outcome"] is None
