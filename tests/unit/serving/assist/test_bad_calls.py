"""Calls that give nothing to work with, or something wrong: a clear answer, and they go on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from persona_ray.config import RunConfig
from persona_ray.conversation import Emotion
from persona_ray.errors import RecognitionError
from persona_ray.inference.assist.library import make_library
from persona_ray.serving.assist import abandoned
from persona_ray.serving.assist.protocol import CallEnded, NotPushed, Pushed, TurnHeard, Unheard
from persona_ray.serving.live.protocol import Failed
from persona_ray.store import Store
from tests.unit.serving.assist.parts import (
    CALLS,
    Fakes,
    Heard,
    application,
    fakes,
    frames_of,
    key_of,
    line,
    listen,
    quiet,
    services_of,
    spoken,
    start,
    stereo,
    whole_call,
)

CUSTOMER = np.concatenate([quiet(0.5), spoken(1.2), quiet(1.0)])
ALONE = stereo(quiet(2.7), CUSTOMER)
TWICE = stereo(quiet(5.4), np.concatenate([CUSTOMER, CUSTOMER]))
Headers = dict[str, str]


def reasons(heard: Heard) -> list[str]:
    return [event.reason for event in heard.of(NotPushed)]


def test_silence_is_a_call_without_turns(client: TestClient, key: Headers) -> None:
    heard = whole_call(client, key, stereo(quiet(3), quiet(3)))
    assert heard.kinds == ["end"]
    assert heard.of(CallEnded)[0].duration_s == 3
    assert whole_call(client, key, stereo(quiet(0), quiet(0)), call_id="k2").kinds == ["end"]


def test_who_is_talked_over_is_heard_but_has_no_tone(
    client: TestClient, key: Headers, fake: Fakes
) -> None:
    agent = np.concatenate([quiet(0.4), spoken(1.6, seed=9), quiet(0.7)])
    heard = whole_call(client, key, stereo(agent, CUSTOMER))
    assert {who for who, _ in heard.turns} == {"agent", "customer"}
    (information,) = fake.advisor.told
    assert information.sentence.overlapped
    assert not information.sentence.tone.voiced


def test_the_agents_voice_on_the_customers_channel_is_nobodys_sentence(
    client: TestClient, key: Headers, fake: Fakes
) -> None:
    agent = np.concatenate([quiet(0.5), spoken(1.2), quiet(1.0)])
    echo = np.concatenate([quiet(0.1), agent * np.float32(0.6)])[: len(agent)]
    heard = whole_call(client, key, stereo(agent, echo))
    assert [who for who, _ in heard.turns] == ["agent"]
    assert [one.reason for one in heard.of(Unheard)] == ["echo"]
    assert fake.advisor.told == []


def test_scenes_that_nobody_knows(client: TestClient, key: Headers) -> None:
    unknown = whole_call(client, key, ALONE, scene={"product": "cars"})
    assert (unknown.kinds, reasons(unknown)) == (["turn", "no_push", "end"], ["unknown_scene"])
    code, _ = refused(client, key, start("k2", scene={"product": "loan", "step": "lunch"}))
    assert code == 4422
    code, _ = refused(client, key, start("k2", colour={"mauve": 1.0}))
    assert code == 4422
    code, _ = refused(client, key, start("k2", colour={"red": 1.5}))
    assert code == 4422


def test_the_scene_and_the_colour_change_in_a_call(
    client: TestClient, key: Headers, fake: Fakes
) -> None:
    frames = frames_of(TWICE)
    with line(client, key, start(scene={"product": "cars"})) as (socket, _):
        for number, one in enumerate(frames):
            if number == len(frames) // 2:
                socket.send_json({"type": "scene", "product": "loan", "step": "offer"})
                socket.send_json({"type": "scene", "product": "loan"})
                socket.send_json({"type": "colour", "probabilities": {"red": 0.9}})
            socket.send_bytes(one)
        socket.send_json({"type": "end"})
        heard = listen(socket, Heard())
    # The same scene twice is told once.
    assert heard.kinds == ["turn", "no_push", "scene", "turn", "push", "end"]
    first, second = fake.advisor.told
    assert (first.scene.product, first.scene.step, dict(first.colour)) == ("cars", "opening", {})
    assert (second.scene.product, second.scene.step) == ("loan", "offer")
    assert dict(second.colour) == {"red": 0.9}


def test_a_device_says_where_the_call_is(
    client: TestClient, key: Headers, fake: Fakes, store: Store
) -> None:
    """As another replica may be told it, and what the line tells later stands."""
    frames, path = frames_of(TWICE), f"{CALLS}/k1/scene"
    assert client.post(path, json={"step": "offer"}, headers=key).status_code == 404
    with line(client, key, start()) as (socket, _):
        for number, one in enumerate(frames):
            if number == len(frames) // 2:
                refused = client.post(path, json={"step": "lunch"}, headers=key)
                assert refused.json()["error"]["code"] == "assist.step"
                told = client.post(path, json={"step": "offer"}, headers=key)
                assert told.json()["scene"]["step"] == "offer"
            socket.send_bytes(one)
        socket.send_json({"type": "end"})
        heard = listen(socket, Heard())
    assert heard.kinds == ["turn", "push", "scene", "turn", "no_push", "end"]
    assert [one.scene.step for one in fake.advisor.told] == ["needs", "offer"]
    assert store.assist_calls.get("li", "k1").scene["step"] == "offer"
    over = client.post(path, json={"step": "closing"}, headers=key)
    assert (over.status_code, over.json()["error"]["code"]) == (409, "assist.over")


def test_an_empty_library_has_nothing_to_say(client: TestClient, key: Headers, fake: Fakes) -> None:
    fake.library = make_library("empty", "1", [])
    assert reasons(whole_call(client, key, ALONE)) == ["empty_library"]


def refused(client: TestClient, headers: Headers, *messages: Any) -> tuple[int, str]:
    """Code of the close, code of the error."""
    with client.websocket_connect(CALLS, headers=headers) as socket:
        for message in messages:
            if isinstance(message, bytes):
                socket.send_bytes(message)
            else:
                socket.send_json(message)
        heard = listen(socket, Heard())
    (error,) = heard.of(Failed)
    return heard.closed, error.error.code


def test_what_a_line_refuses(client: TestClient, key: Headers, store: Store) -> None:
    frames = frames_of(ALONE)
    assert refused(client, key, frames[0]) == (4400, "live.message")
    assert refused(client, key, {"type": "scene", "product": "loan"}) == (4400, "live.message")
    assert refused(client, key, start(customer_channel=5)) == (4400, "live.message")
    assert refused(client, key, start(channels=3)) == (4422, "assist.channels")
    assert refused(client, key, start(agent_id="wang")) == (4403, "assist.agent")
    assert refused(client, key, start(resume_from=3)) == (4404, "live.unknown")
    assert refused(client, key, start(), frames[1]) == (4400, "live.missing_frames")
    again = start(resume_from=0)
    assert refused(client, key, again, frames[0] + b"x") == (4400, "live.odd_bytes")
    assert refused(client, key, again, again) == (4400, "live.message")
    # An operator may hold any agent's call, another scope none.
    operator = key_of(store, "desk", "assist", "operator")
    assert whole_call(client, operator, ALONE, agent_id="wang").kinds[-1] == "end"
    with pytest.raises(WebSocketDenialResponse) as denied:
        refused(client, key_of(store, "li", "live"), start())
    assert denied.value.status_code == 403


def test_one_sentence_that_fails_leaves_the_others(
    client: TestClient, key: Headers, fake: Fakes
) -> None:
    def fail() -> None:
        # Once guessed, and once more when the sentence has ended.
        if len(fake.ears.asked) <= 2:
            raise RecognitionError("no words")

    fake.ears.before = fail
    heard = whole_call(client, key, TWICE)
    assert heard.kinds == ["error", "turn", "push", "end"]
    assert heard.of(Failed)[0].start_s == pytest.approx(0.5, abs=0.2)


def test_moods_and_advice_that_fail_leave_the_words(
    client: TestClient, key: Headers, fake: Fakes
) -> None:
    def fail() -> None:
        raise RecognitionError("down")

    fake.advisor.before_mood = fail
    heard = whole_call(client, key, ALONE)
    assert heard.kinds == ["turn", "error", "end"]
    assert heard.of(TurnHeard)[0].emotion is None
    fake.advisor.before_mood, fake.advisor.before_advice = lambda: None, fail
    fake.advisor.emotion = Emotion.ANGRY
    heard = whole_call(client, key, ALONE, call_id="k2")
    assert heard.kinds == ["turn", "error", "end"]
    assert heard.of(TurnHeard)[0].emotion == "angry"


def test_what_comes_too_late_is_dropped_and_logged(
    assist: RunConfig, loud: None, store: Store, key: Headers
) -> None:
    del loud
    push = assist.assist.push.model_copy(update={"expires_s": 0.2})
    config = assist.model_copy(update={"assist": assist.assist.model_copy(update={"push": push})})
    fake = fakes(config)
    fake.advisor.before_advice = lambda: asyncio.sleep(0.3)
    with TestClient(application(config, store, fake)) as client:
        assert reasons(whole_call(client, key, ALONE)) == ["late"]
    (logged,) = store.suggestions.of_call("li", "k1")
    assert (logged.reason, logged.push_id) == ("late", "")
    assert len(logged.candidates) == 3


def test_a_call_that_nobody_goes_on_with_ends_as_it_was_settled(
    client: TestClient, key: Headers, assist: RunConfig, store: Store, monkeypatch: Any
) -> None:
    with line(client, key, start()) as (socket, _):
        for one in frames_of(TWICE)[:30]:
            socket.send_bytes(one)
        listen(socket, Heard(), lambda event: isinstance(event, Pushed))
    services = services_of(assist, store, fakes(assist))
    assert abandoned.end_abandoned(services) == 0

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(hours=1)

    monkeypatch.setattr("persona_ray.store.database.datetime", Later)
    assert abandoned.end_abandoned(services) == 1
    assert store.assist_calls.get("li", "k1").ended
    with line(client, key, start(resume_from=2)) as (socket, _):
        heard = listen(socket, Heard())
    (end,) = heard.of(CallEnded)
    assert (end.turns, end.pushes) == (1, 1)
    assert datetime.now(UTC) > store.assist_calls.get("li", "k1").started_at
