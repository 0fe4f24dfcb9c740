"""Parts of assistance without models, the application over them, and lines of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from persona_ray.audio.prosody import Prosody
from persona_ray.audio.vad import Span
from persona_ray.config import RunConfig
from persona_ray.conversation import Emotion, Script, ScriptLibrary
from persona_ray.inference.assist.choice import choose
from persona_ray.inference.assist.hearing import Heard as HeardSpeech
from persona_ray.inference.assist.library import make_library
from persona_ray.inference.assist.records import (
    Mood,
    NoSuggestion,
    Sentence,
    SpeechInformation,
    Suggestion,
)
from persona_ray.serving.application import build_app
from persona_ray.serving.assist.protocol import AnyEvent, CallStarted, TurnHeard, read_event
from persona_ray.serving.assist.services import AssistServices
from persona_ray.serving.live.frames import frame
from persona_ray.serving.routes.assist_calls import assist_calls
from persona_ray.serving.routes.assist_live import assist_live
from persona_ray.serving.routes.health import health
from persona_ray.serving.service import ServedModel
from persona_ray.store import Store
from persona_ray.types import Word
from tests.unit.serving.live.lines import pcm16
from tests.unit.serving.live.sounds import RATE_HZ

CALLS = "/v1/assist/calls"
SCENE = {"product": "loan", "step": "needs"}
Samples = NDArray[np.float32]


def scripts(*ids: str, **options: Any) -> ScriptLibrary:
    """A library for loans whose scripts say their ids."""
    made = [
        Script(id=one, text=f"话术{one}", answers=("利息",), product="loan", **options)
        for one in ids
    ]
    return make_library("test", "1", made)


class FakeEars:
    """Words say for how long somebody spoke; `before` may wait, or raise."""

    def __init__(self) -> None:
        self.asked: list[tuple[Span, ...]] = []
        self.before: Callable[[], Any] = lambda: None

    async def hear(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> HeardSpeech:
        assert rate_hz == RATE_HZ
        assert len(samples)
        self.asked.append(tuple(speech))
        found = self.before()
        if asyncio.iscoroutine(found):
            await found
        said_s = sum(span.duration_s for span in speech)
        sound = Prosody(said_s, -20.0, 150.0, 4.0, True, 4.0, 0.0)
        text = f"说了{said_s:.2f}秒"
        word = Word(text, speech[0].start_s, speech[-1].end_s)
        return HeardSpeech((word,), (sound,), sound)


class FakeAdvisor:
    """Everybody is `emotion`; the script that comes first by its id fits best."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config.assist.choice
        self.emotion = Emotion.NEUTRAL
        self.told: list[SpeechInformation] = []
        self.before_mood: Callable[[], Any] = lambda: None
        self.before_advice: Callable[[], Any] = lambda: None

    async def mood(self, sentence: Sentence) -> Mood:
        del sentence
        await _done(self.before_mood())
        shares = {one: float(one is self.emotion) for one in Emotion}
        return Mood(shares, shares, shares, 0.0)

    async def advise(
        self,
        information: SpeechInformation,
        library: ScriptLibrary,
        shown: Mapping[str, int],
        draw: float,
    ) -> Suggestion | NoSuggestion:
        assert 0 <= draw < 1
        self.told.append(information)
        await _done(self.before_advice())
        targets = {name: -float(place) for place, name in enumerate(sorted(library.scripts))}
        config = self.config.model_copy(update={"least": -1e9, "explore": 0.0})
        return choose(information, library, targets, shown, 0.0, config, "first")


async def _done(found: Any) -> None:
    if asyncio.iscoroutine(found):
        await found


@dataclass
class Fakes:
    """Implements the seam `Parts`, and ScriptsInUse."""

    ears: FakeEars
    advisor: FakeAdvisor
    library: ScriptLibrary = field(default_factory=lambda: scripts("a", "b", "c", max_uses=9))

    async def current(self) -> ScriptLibrary:
        return self.library

    async def begun_with(self, name: str, version: str) -> ScriptLibrary:
        assert (name, version) == (self.library.name, self.library.version)
        return self.library


def fakes(config: RunConfig) -> Fakes:
    return Fakes(FakeEars(), FakeAdvisor(config))


def services_of(config: RunConfig, store: Store, fake: Fakes) -> AssistServices:
    served = ServedModel("emotion", "1", (), False, True, RATE_HZ)
    return AssistServices(config, fake, store, served, fake)


def application(config: RunConfig, store: Store, fake: Fakes) -> FastAPI:
    return build_app(services_of(config, store, fake), [health, assist_live, assist_calls])


def key_of(store: Store, name: str = "li", *scopes: str) -> dict[str, str]:
    wanted = scopes or ("assist",)
    token = store.keys.create(name, wanted, requests_per_minute=100_000).token
    return {"authorization": f"Bearer {token}"}


def stereo(agent: Samples, customer: Samples) -> Samples:
    """(n, 2), as long as the longer one."""
    size = max(len(agent), len(customer))
    return np.stack([np.pad(one, (0, size - len(one))) for one in (agent, customer)], axis=1)


def quiet(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def spoken(seconds: float, seed: int = 1, level: float = 0.6) -> Samples:
    """Somebody's voice, unlike that of another seed."""
    noise = np.random.default_rng(seed).uniform(-level, level, round(seconds * RATE_HZ))
    noise[::50] = level
    return noise.astype(np.float32)


def frames_of(sound: Samples, size: int = 800) -> list[bytes]:
    """Frames of `size` moments each of sound (n,) or (n, channels)."""
    parts = [sound[at : at + size] for at in range(0, len(sound), size)]
    return [frame(number, pcm16(part.ravel())) for number, part in enumerate(parts, 1)]


def start(call_id: str = "k1", **changes: Any) -> dict[str, Any]:
    sound = {"channels": 2, "customer_channel": 1}
    return {"type": "start", "call_id": call_id, "scene": SCENE, **sound, **changes}


@dataclass
class Heard:
    """What a client has got."""

    events: list[AnyEvent] = field(default_factory=list)
    closed: int = 0

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def kinds(self) -> list[str]:
        return [event.type for event in self.events if event.type not in ("ack", "started")]

    @property
    def turns(self) -> list[tuple[str, str]]:
        return [(event.speaker.value, event.text) for event in self.of(TurnHeard)]


@contextmanager
def line(
    client: TestClient, headers: dict[str, str], first: dict[str, Any]
) -> Iterator[tuple[WebSocketTestSession, CallStarted]]:
    with client.websocket_connect(CALLS, headers=headers) as socket:
        socket.send_json(first)
        started = read_event(socket.receive_text())
        assert isinstance(started, CallStarted), started
        yield socket, started


def listen(
    socket: WebSocketTestSession,
    heard: Heard,
    until: Callable[[AnyEvent], bool] = lambda _: False,
) -> Heard:
    """Events until the line is closed, or until one that `until` is true of."""
    try:
        while True:
            event = read_event(socket.receive_text())
            heard.events.append(event)
            if until(event):
                return heard
    except WebSocketDisconnect as closed:
        heard.closed = closed.code
    return heard


def whole_call(
    client: TestClient, headers: dict[str, str], sound: Samples, **changes: Any
) -> Heard:
    """A call without a break."""
    with line(client, headers, start(**changes)) as (socket, _):
        for one in frames_of(sound):
            socket.send_bytes(one)
        socket.send_json({"type": "end"})
        return listen(socket, Heard())
