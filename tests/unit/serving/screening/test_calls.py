"""Screened calls over the WebSocket: sound both ways, one verdict, nothing lost on the way."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.inference.screening.records import Known, Origin, Standing
from persona_ray.serving.screening.protocol import CallEnded, LineDone, Screened, TurnSaid
from persona_ray.store import Store
from persona_ray.vault.seal import HEADER_BYTES
from tests.unit.serving.screening.parts import (
    DELIVERY,
    FRAUD,
    LOANS,
    SAID,
    Fakes,
    Heard,
    application,
    caller_spoke,
    fakes,
    key_of,
    line,
    listen,
    over,
    whole,
)

NUMBER = "+8613800138000"


def event(call_id: str = "k1", **changes: Any) -> dict[str, Any]:
    return {"call_id": call_id, "number": NUMBER, **changes}


def known(standing: Standing, category: str = "", name: str = "") -> Known:
    return Known(NUMBER, standing, category, name, "", Origin.OPERATOR, None)


def spoken(client: TestClient, headers: dict[str, str], call_id: str = "k1") -> Heard:
    """A caller who says one thing once the robot has spoken, then waits."""
    heard = Heard()
    with line(client, headers, call_id, number=NUMBER) as (socket, _):
        listen(socket, heard, over)
        for one in SAID:
            socket.send_bytes(one)
        return listen(socket, heard, whole)


def test_a_fraud_is_hung_up_on_and_the_user_told(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    fake.ears.texts = [FRAUD]
    answered = client.post("/v1/screening/events", json=event(), headers=key).json()
    assert (answered["action"], answered["connect"]) == ("screen", "/v1/screening/calls")
    heard = spoken(client, key)
    assert heard.closed == 1000
    assert heard.kinds == ["line", "turn", "turn", "screen", "line", "end"]
    seqs = [one.seq for one in heard.events if one.type in heard.kinds]
    assert seqs == [1, 2, 3, 4, 5, 6]
    assert [one.action for one in heard.of(LineDone)] == ["pick_up", "hang_up"]
    assert [one.text for one in heard.of(TurnSaid)] == ["您好。", FRAUD]
    assert [one.category for one in heard.of(Screened)] == ["account_fraud"]
    (end,) = heard.of(CallEnded)
    assert (end.outcome, end.standing) == ("hung_up", "illegal")
    # The robot's sound is numbered, and in the caller's encoding: 0.2 s of pcm16 at 8 kHz.
    assert [int.from_bytes(one[:4]) for one in heard.sound] == list(range(1, len(heard.sound) + 1))
    samples = sum(len(one) - 4 for one in heard.sound) // 2
    assert samples == pytest.approx(0.2 * 8000, abs=100)

    call = client.get("/v1/screening/calls/k1", headers=key).json()
    assert (call["outcome"], call["said"], call["category"]) == (
        "hung_up",
        "account_fraud",
        "account_fraud",
    )
    assert [turn["speaker"] for turn in call["turns"]] == ["robot", "caller"]
    assert call["models"]["category"] == "words 1"
    assert call["evidence"]["p_illegal"] > 0.9
    (item,) = client.get("/v1/screening/calls", headers=key).json()["calls"]
    assert (item["number"], item["first_words"]) == (NUMBER, FRAUD)
    ((verdict, speech),) = fake.noted.verdicts
    assert verdict.outcome == "hung_up"
    assert speech > 8000


def test_the_recording_has_both_sides_and_opens_by_its_link(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    fake.ears.texts = [FRAUD]
    spoken(client, key)
    links = client.get("/v1/screening/calls/k1", headers=key).json()["links"]
    answer = client.get(links["recording"])
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    sound, rate_hz = soundfile.read(io.BytesIO(answer.content))
    assert rate_hz == 8000
    caller, robot = np.abs(sound).max(axis=0)
    assert caller > 0.4
    assert robot > 0.2
    turns = client.get(links["transcript"]).json()["turns"]
    assert [turn["text"] for turn in turns] == ["您好。", FRAUD]
    for what in ("recording", "transcript"):
        broken = links[what].replace("signature=", "signature=x")
        refused = client.get(broken)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "link.signature")
    swapped = links["transcript"].replace("transcript", "recording")
    assert client.get(swapped).status_code == 403


def test_a_caller_who_talks_stops_the_robot(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    fake.mouth.seconds = 5.0
    fake.ears.texts = [DELIVERY]
    heard = Heard()
    with line(client, key, number=NUMBER) as (socket, _):
        listen(socket, heard, lambda one: one.type == "speaking")
        for one in SAID:
            socket.send_bytes(one)
        listen(socket, heard, lambda one: one.type == "clear")
        # Of five seconds hardly any was sent by then.
        assert len(heard.sound) < 60
        listen(socket, heard, whole)
    assert heard.of(LineDone)[-1].action == "pass"
    assert heard.of(CallEnded)[0].outcome == "passed"


@pytest.mark.parametrize(
    ("standing", "action", "outcome"),
    [(Standing.NORMAL, "pass", "passed"), (Standing.ILLEGAL, "reject", "rejected")],
)
def test_a_known_number_is_decided_on_at_once(
    client: TestClient,
    key: dict[str, str],
    fake: Fakes,
    standing: Standing,
    action: str,
    outcome: str,
) -> None:
    fake.sources.known[NUMBER] = known(standing, name="妈妈")
    answered = client.post("/v1/screening/events", json=event(), headers=key).json()
    assert (answered["action"], answered["connect"]) == (action, None)
    assert answered["name"] == "妈妈"
    call = client.get("/v1/screening/calls/k1", headers=key).json()
    assert (call["outcome"], call["links"]) == (outcome, {})
    # A phone that connects all the same is told what to do.
    with line(client, key, number=NUMBER) as (socket, _):
        heard = listen(socket, Heard(), whole)
    assert [one.action for one in heard.of(LineDone)] == [action]
    assert heard.events[-1].type == "end"
    assert heard.closed == 1000
    assert fake.ears.asked == 0


def test_the_user_is_asked_about_an_abnormal_number(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    fake.sources.known[NUMBER] = known(Standing.ABNORMAL, "loans")
    answered = client.post("/v1/screening/events", json=event(), headers=key).json()
    assert (answered["action"], answered["category"]) == ("ask", "loans")
    with (
        client.websocket_connect("/v1/screening/notices", headers=key) as notices,
        line(client, key) as (socket, _),
    ):
        notices.send_json({"type": "start", "after": 0})
        heard = listen(socket, Heard(), lambda one: one.type == "ask")
        notice = notices.receive_json()
        assert (notice["kind"], notice["body"]["category"]) == ("ask", "loans")
        sent = client.post("/v1/screening/calls/k1/answer", json={"choice": "pass"}, headers=key)
        assert sent.status_code == 202
        listen(socket, heard, whole)
        assert notices.receive_json()["kind"] == "verdict"
    assert heard.of(LineDone)[-1].action == "pass"
    late = client.post("/v1/screening/calls/k1/answer", json={"choice": "pass"}, headers=key)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "screening.ended")


def test_an_answer_before_any_line_is_enough(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    fake.sources.known[NUMBER] = known(Standing.ABNORMAL, "loans")
    client.post("/v1/screening/events", json=event(), headers=key)
    client.post("/v1/screening/calls/k1/answer", json={"choice": "reject"}, headers=key)
    call = client.get("/v1/screening/calls/k1", headers=key).json()
    assert call["outcome"] == "rejected"


def test_parts_that_fail_leave_no_caller_in_silence(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    def broken() -> None:
        raise RuntimeError("the ears are gone")

    fake.ears.before = broken
    fake.sources.error = RuntimeError("the database is gone")
    heard = spoken(client, key)
    assert heard.closed == 1000
    end = heard.of(CallEnded)[0]
    assert "without an answer from: ears" in end.reason
    assert heard.of(LineDone)[-1].action == "end"


def test_a_hang_up_of_the_caller_ends_the_call_with_what_was_said(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    fake.ears.texts = [LOANS]
    heard = Heard()
    with line(client, key, number=NUMBER) as (socket, _):
        listen(socket, heard, over)
        for one in SAID[:9]:
            socket.send_bytes(one)
        socket.send_json({"type": "end"})
        listen(socket, heard, whole)
    assert heard.of(CallEnded)[0].outcome == "caller_left"
    assert heard.of(CallEnded)[0].category == "loans"


def test_another_replica_goes_on_where_the_line_broke(
    client: TestClient, key: dict[str, str], fake: Fakes, store: Store, screening: RunConfig
) -> None:
    fake.ears.texts = [LOANS.replace("贷款", "什么")]
    heard = Heard()
    with line(client, key, number=NUMBER) as (socket, _):
        listen(socket, heard, over)
        for one in SAID:
            socket.send_bytes(one)
        listen(socket, heard, caller_spoke)
        acked = 0
        while not acked:
            listen(socket, heard, lambda one: one.type == "ack")
            acked = heard.events[-1].frame  # type: ignore[union-attr]
        seen = max(one.seq for one in heard.events)
    again = fakes(screening, FRAUD)
    with (
        TestClient(application(screening, store, again)) as other,
        line(other, key, resume_from=seen) as (socket, started),
    ):
        assert started.next_frame > acked
        rest = Heard()
        listen(socket, rest, over)
        for one in SAID:
            number = started.next_frame + int.from_bytes(one[:4]) - 1
            socket.send_bytes(number.to_bytes(4) + one[4:])
        listen(socket, rest, whole)
    assert rest.closed == 1000
    call = client.get("/v1/screening/calls/k1", headers=key).json()
    said = [turn["text"] for turn in call["turns"] if turn["speaker"] == "caller"]
    assert said == [LOANS.replace("贷款", "什么"), FRAUD]
    assert call["outcome"] == "hung_up"


@pytest.mark.parametrize(("gone_s", "opens"), [(3, True), (3, False)])
def test_a_line_that_nobody_goes_on_with_ends_with_the_verdict_so_far(
    client: TestClient, key: dict[str, str], fake: Fakes, tmp_path: Path, opens: bool
) -> None:
    """Also where its recording does not open: its key is lost, or it was changed."""
    fake.ears.texts = [DELIVERY.replace("快递", "东西")]
    heard = Heard()
    with line(client, key, number=NUMBER) as (socket, _):
        listen(socket, heard, over)
        for one in SAID:
            socket.send_bytes(one)
        listen(socket, heard, caller_spoke)
    if not opens:
        (journal,) = tmp_path.glob("screening/recordings/*/*/tracks.*")
        kept = bytearray(journal.read_bytes())
        kept[4 + HEADER_BYTES] ^= 1
        journal.write_bytes(kept)
    with client.websocket_connect("/v1/screening/notices", headers=key) as notices:
        notices.send_json({"type": "start", "after": 0})
        notice = notices.receive_json()
        while notice["kind"] != "verdict":
            notice = notices.receive_json()
    assert notice["body"]["outcome"] == "broken_off"
    call = client.get("/v1/screening/calls/k1", headers=key).json()
    # The robot's turns are there too: its greeting, and an answer if it was quicker than the break.
    assert DELIVERY.replace("快递", "东西") in [turn["text"] for turn in call["turns"]]
    assert ("recording" in call["links"]) == opens


def test_two_calls_at_once_are_two_calls(
    client: TestClient, key: dict[str, str], store: Store, fake: Fakes
) -> None:
    theirs = key_of(store, "wang")
    with (
        line(client, key, number=NUMBER) as (first, _),
        line(client, theirs, number="+8613900139000") as (second, _),
    ):
        one, two = Heard(), Heard()
        listen(first, one, over)
        listen(second, two, over)
        fake.ears.texts = [DELIVERY]
        for each in SAID:
            first.send_bytes(each)
        listen(first, one, whole)
        fake.ears.texts = [FRAUD]
        for each in SAID:
            second.send_bytes(each)
        listen(second, two, whole)
    assert one.of(CallEnded)[0].category == "delivery"
    assert two.of(CallEnded)[0].category == "account_fraud"
    assert client.get("/v1/screening/calls/k1", headers=key).json()["outcome"] == "passed"
    assert client.get("/v1/screening/calls/k1", headers=theirs).json()["outcome"] == "hung_up"
