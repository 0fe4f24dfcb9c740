"""Pushes as a call's line leaves them in the store, and devices that hear of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

from persona_ray.config import RunConfig
from persona_ray.serving.application import build_app
from persona_ray.serving.assist.protocol import (
    DeviceError,
    DeviceEvent,
    FeedbackTaken,
    Notice,
    read_device_event,
)
from persona_ray.serving.routes.assist_devices import assist_devices
from persona_ray.serving.routes.assist_feedback import assist_feedback
from persona_ray.serving.routes.assist_live import assist_live
from persona_ray.serving.routes.health import health
from persona_ray.store import Store
from persona_ray.store.assist.records import AssistCall, NewEvent, NewPush
from tests.unit.serving.assist.parts import Fakes, services_of
from tests.unit.store.assist.fill import SCENE, SOUND, suggestion_of

DEVICES = "/v1/assist/devices"
FOREVER_S = 3600.0


def application(config: RunConfig, store: Store, fake: Fakes) -> FastAPI:
    routers = [health, assist_live, assist_devices, assist_feedback]
    return build_app(services_of(config, store, fake), routers)


def begin(store: Store, agent: str = "li", call_id: str = "k1") -> AssistCall:
    began = json.dumps({"type": "began", "seq": 0, "call_id": call_id})
    return store.assist_calls.open(agent, call_id, SOUND, SCENE, "c1", began=began)


def push(
    store: Store,
    call: AssistCall,
    left_s: float = FOREVER_S,
    channel: str = "device",
    *,
    ended: bool = False,
) -> str:
    """A customer's sentence, and scripts for `left_s` seconds; the push's id."""
    before = store.assist_calls.get(call.agent_id, call.call_id).events
    now = datetime.now(UTC)
    made = NewPush(
        push_id=f"{call.agent_id}-{call.call_id}-{before + 1}",
        channel=channel,
        scripts=("s1", "s2"),
        expires_at=now + timedelta(seconds=left_s),
    )
    scripts = [{"script_id": name, "text": f"话术{name}"} for name in made.scripts]
    body = {"type": "push", "push_id": made.push_id, "scripts": scripts, "expires_in_s": left_s}
    events = [
        NewEvent(json.dumps({"type": "turn", "text": "太贵了"})),
        NewEvent(json.dumps(body), made.push_id, made.expires_at),
    ]
    suggestion = suggestion_of(call, before + 1, made, now)
    store.assist_calls.settle(call, {"at": 1}, before, events, [suggestion], ended=ended)
    return made.push_id


class Device:
    """One that listens."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self.socket = socket
        self.last = 0

    def next(self) -> DeviceEvent:
        found = read_device_event(self.socket.receive_text())
        if isinstance(found, Notice):
            self.last = found.number
        return found

    def until(self, kind: str) -> dict[str, Any]:
        """The next notice of that kind."""
        while True:
            found = self.next()
            if isinstance(found, Notice) and found.event["type"] == kind:
                return found.event

    def asks(self, **message: Any) -> FeedbackTaken | DeviceError:
        """What is answered; notices are passed over."""
        self.socket.send_json(message)
        while True:
            found = self.next()
            if not isinstance(found, Notice):
                return found


@contextmanager
def device(
    client: TestClient, headers: dict[str, str], after: int | None = 0, **listen: Any
) -> Iterator[Device]:
    with client.websocket_connect(DEVICES, headers=headers) as socket:
        socket.send_json({"type": "listen", "after": after, **listen})
        yield Device(socket)


def becomes(found: Callable[[], object], wanted: object) -> bool:
    """Whether it is so within a few seconds."""
    until = time.monotonic() + 10
    while found() != wanted:
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
