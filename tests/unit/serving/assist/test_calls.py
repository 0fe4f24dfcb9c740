"""Assisted calls over a line: turns of both sides, pushes, and going on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from persona_ray.conversation import Speaker
from persona_ray.serving.assist.protocol import AnyEvent, CallEnded, Pushed, TurnHeard
from persona_ray.store import Store
from tests.unit.serving.assist.parts import (
    Fakes,
    Heard,
    frames_of,
    line,
    listen,
    quiet,
    spoken,
    start,
    stereo,
    whole_call,
)

# The agent says something, the customer answers, the agent goes on.
AGENT = np.concatenate([quiet(0.5), spoken(1.0), quiet(3.0), spoken(0.8, 3), quiet(1.0)])
CUSTOMER = np.concatenate([quiet(2.5), spoken(1.2, 2), quiet(2.6)])
CALL = stereo(AGENT, CUSTOMER)


def test_a_call_with_a_turn_of_each_and_a_push(
    client: TestClient, key: dict[str, str], fake: Fakes, store: Store
) -> None:
    heard = whole_call(client, key, CALL)
    assert heard.closed == 1000
    assert heard.kinds == ["turn", "turn", "push", "turn", "end"]
    assert [who for who, _ in heard.turns] == ["agent", "customer", "agent"]
    turn, push = heard.of(TurnHeard)[1], heard.of(Pushed)[0]
    assert (push.turn_seq, push.scripts[0].script_id) == (turn.seq, "a")
    assert turn.emotion == "neutral"
    assert set(push.timings_s) == {"ended", "hearing", "feeling", "choosing", "sent"}
    (information,) = fake.advisor.told
    assert [one.speaker for one in information.before] == [Speaker.AGENT]
    assert (information.scene.product, information.scene.step) == ("loan", "needs")
    (end,) = heard.of(CallEnded)
    assert (end.turns, end.pushes) == (3, 1)
    assert store.assist_calls.get("li", "k1").ended
    assert [event.seq for event in heard.events if event.type != "ack"] == [1, 2, 3, 4, 5]


def test_what_was_guessed_is_not_recognised_again(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    """Recognition begins in the pause that ends a sentence."""
    heard = whole_call(client, key, CALL)
    assert len(fake.ears.asked) == len(heard.of(TurnHeard)) == 3


def test_turns_come_in_the_order_in_which_they_ended(
    client: TestClient, key: dict[str, str], fake: Fakes
) -> None:
    del fake
    agent = np.concatenate([quiet(0.5), spoken(3.0), quiet(2.0)])
    customer = np.concatenate([quiet(1.0), spoken(1.0, 2), quiet(3.5)])
    heard: Heard = whole_call(client, key, stereo(agent, customer))
    assert [who for who, _ in heard.turns] == ["customer", "agent"]


def broken_off(
    client: TestClient, key: dict[str, str], sound: Any, until: Callable[[AnyEvent], bool]
) -> Heard:
    """What a client gets of a call whose line breaks at an event."""
    with line(client, key, start()) as (socket, _):
        for one in frames_of(sound):
            socket.send_bytes(one)
        return listen(socket, Heard(), until)


@pytest.mark.parametrize("kind", [TurnHeard, Pushed])
def test_a_call_is_gone_on_with_where_it_was_settled(
    client: TestClient, key: dict[str, str], fake: Fakes, store: Store, kind: type[Any]
) -> None:
    whole = whole_call(client, key, CALL, call_id="whole")
    fake.advisor.told.clear()
    first = broken_off(client, key, CALL, lambda event: isinstance(event, kind))
    seen = max(event.seq for event in first.events)
    with line(client, key, start(resume_from=seen)) as (socket, started):
        for one in frames_of(CALL)[started.next_frame - 1 :]:
            socket.send_bytes(one)
        socket.send_json({"type": "end"})
        rest = listen(socket, Heard())
    both = Heard([*first.events, *rest.events])
    assert both.turns == whole.turns
    assert both.kinds == whole.kinds
    assert rest.of(CallEnded)[0].turns == 3
    # The push and its log stand once.
    assert [one.turn for one in store.suggestions.of_call("li", "k1")] == [2]
    assert [one.turn for one in store.pushes.of_call("li", "k1")] == [2]


def test_who_goes_on_with_a_call_has_it(client: TestClient, key: dict[str, str]) -> None:
    with line(client, key, start()) as (first, _):
        for one in frames_of(CALL)[:30]:
            first.send_bytes(one)
        listen(first, Heard(), lambda event: isinstance(event, TurnHeard))
        with line(client, key, start(resume_from=1)) as (second, started):
            for one in frames_of(CALL)[30:]:
                first.send_bytes(one)
            lost = listen(first, Heard())
            assert lost.closed == 4409
            for one in frames_of(CALL)[started.next_frame - 1 :]:
                second.send_bytes(one)
            second.send_json({"type": "end"})
            assert [who for who, _ in listen(second, Heard()).turns] == ["customer", "agent"]
    # It has ended: whoever asks again is told all of it.
    with line(client, key, start(resume_from=0)) as (third, _):
        assert listen(third, Heard()).kinds == ["turn", "turn", "push", "turn", "end"]
