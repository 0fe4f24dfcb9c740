"""What an agent's devices are told, and what they may say of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from persona_ray.config import RunConfig
from persona_ray.serving.assist.desk import AssistDesk
from persona_ray.serving.assist.devices import Devices
from persona_ray.serving.assist.news import News
from persona_ray.serving.assist.protocol import DeviceError, FeedbackTaken, Pushed
from persona_ray.serving.gate import Caller
from persona_ray.store import Store
from persona_ray.store.assist.records import PushState
from tests.unit.serving.assist.parts import (
    Fakes,
    frames_of,
    key_of,
    line,
    quiet,
    services_of,
    spoken,
    start,
)
from tests.unit.serving.assist.parts import stereo as both
from tests.unit.serving.assist.pushed import application, becomes, begin, device, push

if TYPE_CHECKING:
    from persona_ray.serving.live.connection import Line


@pytest.fixture
def client(loud: None, assist: RunConfig, store: Store, fake: Fakes) -> Iterator[TestClient]:
    del loud
    with TestClient(application(assist, store, fake)) as opened:
        yield opened


def state(store: Store, push_id: str) -> PushState:
    return store.pushes.get(push_id).state


def test_a_push_stands_on_every_device_of_the_agent_and_on_no_others(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    call = begin(store)
    other = key_of(store, "wang")
    with (
        device(client, key) as desk,
        device(client, key) as phone,
        device(client, other) as another,
    ):
        push_id = push(store, call)
        for one in (desk, phone):
            found = one.until("push")
            assert (found["push_id"], found["scripts"][0]["script_id"]) == (push_id, "s1")
        assert becomes(lambda: state(store, push_id), PushState.SENT)
        phone.socket.send_json({"type": "seen", "push_id": push_id})
        assert becomes(lambda: state(store, push_id), PushState.SEEN)
        # The other agent's device hears of its own call first of all.
        begin(store, "wang", "k2")
        assert another.until("began")["call_id"] == "k2"


def test_a_whole_call_is_seen_as_it_goes(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    with device(client, key, after=None) as desk, line(client, key, start()) as (socket, _):
        assert desk.until("began")["customer_id"] == ""
        for one in frames_of(both(quiet(3.0), spoken(1.0))):
            socket.send_bytes(one)
        said, shown = desk.until("turn"), desk.until("push")
        assert said["speaker"] == "customer"
        assert 0 < Pushed.model_validate(shown).expires_in_s <= 8
        taken = desk.asks(type="feedback", push_id=shown["push_id"], action="used")
        assert taken == FeedbackTaken(push_id=shown["push_id"], score=70.0, counted=True)
    assert store.samples.new() == 1


def test_who_comes_again_gets_what_was_missed_and_is_still_worth_it(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    call = begin(store)
    with device(client, key) as desk:
        had = push(store, call)
        assert desk.until("push")["push_id"] == had
        last = desk.last
    late, good = push(store, call, left_s=0.0), push(store, call)
    with device(client, key, after=last) as desk:
        assert desk.until("push")["push_id"] == good
    assert becomes(lambda: state(store, late), PushState.LATE)
    # One that was shown in time is not late because another device came too late for it.
    assert becomes(lambda: state(store, had), PushState.SENT)
    assert becomes(lambda: state(store, good), PushState.SENT)
    figures = client.get("/metrics", headers=key_of(store, "scraper", "metrics")).text
    assert 'persona_assist_pushes_total{state="late"} 1.0' in figures
    assert 'persona_assist_pushes_total{state="sent"} 2.0' in figures


def test_what_nobody_listens_to_is_dropped_once_it_is_late(
    assist: RunConfig, store: Store, fake: Fakes
) -> None:
    late = push(store, begin(store), left_s=-10.0)
    with TestClient(application(assist, store, fake)):
        assert becomes(lambda: state(store, late), PushState.LATE)


class FakeLine:
    """A device that listens and says no more; a `stuck` one reads nothing."""

    def __init__(self, stuck: bool) -> None:
        self._said = [json.dumps({"type": "listen", "after": 0})]
        self._stuck = stuck
        self.got: list[str] = []

    async def receive(self) -> str:
        return self._said.pop() if self._said else await asyncio.Future()

    async def watch(self) -> None:
        await asyncio.Future()

    async def send_text(self, text: str) -> None:
        if self._stuck:
            await asyncio.Future()
        self.got.append(text)


@pytest.mark.anyio
async def test_a_device_that_reads_nothing_holds_up_no_other(
    assist: RunConfig, store: Store, fake: Fakes
) -> None:
    services = services_of(assist, store, fake)
    news = News(store.pushes, services.woken)
    devices = Devices(services, AssistDesk(services), news)
    stuck, quick = FakeLine(stuck=True), FakeLine(stuck=False)
    caller = Caller("", "li", frozenset({"assist"}))
    held = [devices.hold(cast("Line", one), caller) for one in (stuck, quick)]
    running = [asyncio.create_task(work) for work in (news.run(), *held)]
    try:
        call = begin(store)
        ids = [push(store, call) for _ in range(3)]
        async with asyncio.timeout(10):
            while not all(any(name in text for text in quick.got) for name in ids):
                await asyncio.sleep(0.01)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    assert stuck.got == []


def test_what_a_device_says_wrongly_is_answered_and_the_line_stays(
    client: TestClient, store: Store, key: dict[str, str]
) -> None:
    mine, others = push(store, begin(store)), push(store, begin(store, "wang", "k2"))

    def code(**message: str) -> tuple[str, str]:
        found = desk.asks(**message)
        assert isinstance(found, DeviceError)
        assert not found.closing
        return found.error.code, found.push_id

    with device(client, key) as desk:
        used = {"type": "feedback", "action": "used"}
        assert code(push_id="nothing", **used) == ("assist.push", "nothing")
        assert code(push_id=others, **used) == ("assist.agent", others)
        assert code(push_id=mine, script_id="s9", **used) == ("assist.script", mine)
        assert code(type="seen", push_id=others) == ("assist.agent", others)
        assert code(type="seen") == ("live.message", "")
        assert code(type="listen") == ("live.message", "")
        for _ in range(2):
            taken = desk.asks(push_id=mine, **used)
            assert taken == FeedbackTaken(push_id=mine, score=70.0, counted=True)
    assert store.samples.new() == 1


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"type": "seen", "push_id": "x"}, 4400),
        ({"type": "listen", "agent_id": "wang"}, 4403),
        ({"type": "listen", "after": -1}, 4400),
    ],
)
def test_a_line_that_does_not_begin_rightly_is_closed_with_why(
    client: TestClient, key: dict[str, str], first: dict[str, object], code: int
) -> None:
    with client.websocket_connect("/v1/assist/devices", headers=key) as socket:
        socket.send_json(first)
        found = DeviceError.model_validate_json(socket.receive_text())
        assert found.closing
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == code


def test_an_operator_listens_for_an_agent(client: TestClient, store: Store) -> None:
    operator = key_of(store, "desk", "assist", "operator")
    push_id = push(store, begin(store))
    with device(client, operator, agent_id="li") as desk:
        assert desk.until("push")["push_id"] == push_id
