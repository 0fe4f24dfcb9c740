"""Parts of screening without models, the application over them, and phones that call it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from persona_ray.config import RunConfig
from persona_ray.inference.screening.records import (
    CallEvent,
    CategoryJudgement,
    Channel,
    Known,
    LineKind,
    NotEnoughSpeech,
    NotListed,
    Speaker,
    Turn,
    Verdict,
    VoiceVerdict,
)
from persona_ray.serving.application import build_app
from persona_ray.serving.routes.health import health
from persona_ray.serving.routes.screening_calls import screening_calls
from persona_ray.serving.routes.screening_files import screening_files
from persona_ray.serving.routes.screening_live import screening_live
from persona_ray.serving.routes.screening_wishes import screening_wishes
from persona_ray.serving.screening.consequences import CorrectedTo
from persona_ray.serving.screening.protocol import (
    CallEventOut,
    CallStarted,
    TurnSaid,
    read_event,
)
from persona_ray.serving.screening.services import Parts, ScreeningServices
from persona_ray.serving.service import ServedModel
from persona_ray.store import Store
from tests.unit.serving.live.lines import frames_of
from tests.unit.serving.live.sounds import talk

CALLS = "/v1/screening/calls"
FRAUD, LOANS, DELIVERY = "您的账户涉嫌洗钱请转到安全账户", "需要贷款吗", "您的快递到了"
WORDS = {"安全账户": "account_fraud", "贷款": "loans", "快递": "delivery"}
MODEL = "words 1"
Samples = NDArray[np.float32]


class FakeSources:
    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.error: Exception | None = None

    async def look_up(self, call: CallEvent) -> Known | NotListed:
        if self.error is not None:
            raise self.error
        return self.known.get(call.number, NotListed())


class FakeVoices:
    def __init__(self) -> None:
        self.verdict: VoiceVerdict = NotEnoughSpeech(0.0, 3.0)

    async def whose(self, samples: Samples, rate_hz: int, channel: Channel) -> VoiceVerdict:
        assert rate_hz == 8000
        assert len(samples)
        del channel
        return self.verdict


class FakeEars:
    """Hears one text after the other; `before` may wait, or raise."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked = 0
        self.before: Callable[[], Any] = lambda: None

    async def text(self, samples: Samples, rate_hz: int) -> str:
        del samples, rate_hz
        self.asked += 1
        found = self.before()
        if asyncio.iscoroutine(found):
            await found
        return self.texts.pop(0) if self.texts else ""


class FakeCategories:
    """By words in what the caller said."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    async def judge(self, turns: Sequence[Turn]) -> CategoryJudgement:
        said = "".join(turn.text for turn in turns if turn.speaker == "caller")
        found = next((name for word, name in WORDS.items() if word in said), "other")
        shares = dict.fromkeys(self._names, 0.001)
        shares[found] = 1 - 0.001 * (len(shares) - 1)
        callers = sum(turn.speaker == "caller" for turn in turns)
        return CategoryJudgement(shares, callers, MODEL)


class FakeRobot:
    async def answer(self, turns: Sequence[Turn], judgement: CategoryJudgement | None) -> str:
        del turns, judgement
        return "您接着说。"

    def line(self, kind: LineKind, turns: Sequence[Turn]) -> str:
        del turns
        return {"opening": "您好。", "goodbye": "再见。"}.get(kind.value, "请说。")


class FakeMouth:
    """A tone; `seconds` of it for each text."""

    def __init__(self, seconds: float = 0.2, rate_hz: int = 8000) -> None:
        self.seconds = seconds
        self.rate_hz = rate_hz

    async def speak(self, text: str) -> tuple[Samples, int]:
        del text
        times = np.arange(round(self.seconds * self.rate_hz)) / self.rate_hz
        return (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32), self.rate_hz


@dataclass
class Noted:
    """Consequences that are only noted."""

    verdicts: list[tuple[Verdict, int]] = field(default_factory=list)
    corrections: list[CorrectedTo] = field(default_factory=list)
    deleted: list[tuple[str, str]] = field(default_factory=list)

    async def of_verdict(self, verdict: Verdict, speech: Samples, rate_hz: int) -> None:
        assert rate_hz == 8000
        self.verdicts.append((verdict, len(speech)))

    async def of_correction(self, made: CorrectedTo) -> None:
        self.corrections.append(made)

    async def of_deletion(self, calls: Iterable[tuple[str, str]]) -> None:
        self.deleted += calls


@dataclass
class Fakes:
    """All of them."""

    sources: FakeSources
    voices: FakeVoices
    ears: FakeEars
    categories: FakeCategories
    robot: FakeRobot
    mouth: FakeMouth
    noted: Noted = field(default_factory=Noted)


def fakes(config: RunConfig, *texts: str) -> Fakes:
    names = tuple(config.screening.policy.categories)
    return Fakes(
        FakeSources(),
        FakeVoices(),
        FakeEars(*texts),
        FakeCategories(names),
        FakeRobot(),
        FakeMouth(),
    )


def services_of(config: RunConfig, store: Store, fake: Fakes) -> ScreeningServices:
    parts = Parts(
        fake.sources,
        fake.voices,
        fake.ears,
        fake.categories,
        fake.robot,
        fake.robot,
        fake.mouth,
    )
    served = ServedModel("words", "1", (), False, True, 8000)
    return ScreeningServices(config, parts, store, served, consequences=fake.noted)


def application(config: RunConfig, store: Store, fake: Fakes) -> FastAPI:
    services = services_of(config, store, fake)
    return build_app(
        services, [health, screening_calls, screening_wishes, screening_files, screening_live]
    )


def key_of(store: Store, name: str = "li", *scopes: str) -> dict[str, str]:
    wanted = scopes or ("screen", "screening")
    token = store.keys.create(name, wanted, requests_per_minute=100_000).token
    return {"authorization": f"Bearer {token}"}


SAYING = talk((1.0, 1.2))
SAID = frames_of(SAYING)


@dataclass
class Heard:
    """What a phone has got."""

    events: list[CallEventOut] = field(default_factory=list)
    sound: list[bytes] = field(default_factory=list)
    closed: int = 0

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def kinds(self) -> list[str]:
        passing = ("ack", "speaking", "clear", "started")
        return [event.type for event in self.events if event.type not in passing]


@contextmanager
def line(
    client: TestClient, headers: dict[str, str], call_id: str = "k1", **start: Any
) -> Iterator[tuple[WebSocketTestSession, CallStarted]]:
    with client.websocket_connect(CALLS, headers=headers) as socket:
        socket.send_json({"type": "start", "call_id": call_id, **start})
        started = read_event(socket.receive_text())
        assert isinstance(started, CallStarted), started
        yield socket, started


def listen(
    socket: WebSocketTestSession, heard: Heard, until: Callable[[CallEventOut], bool]
) -> Heard:
    """Events and sound until the line is closed, or until one that `until` is true of."""
    try:
        while True:
            message = socket.receive()
            if message["type"] == "websocket.close":
                heard.closed = message["code"]
                return heard
            if message.get("bytes") is not None:
                heard.sound.append(message["bytes"])
                continue
            event = read_event(message["text"])
            heard.events.append(event)
            if until(event):
                return heard
    except WebSocketDisconnect as closed:
        heard.closed = closed.code
    return heard


def whole(event: CallEventOut) -> bool:
    del event
    return False


def over(event: CallEventOut) -> bool:
    """The robot has ended to speak."""
    return event.type == "speaking" and bool(getattr(event, "over", False))


def caller_spoke(event: CallEventOut) -> bool:
    """A turn of the caller was understood (the robot's own turns are told as well)."""
    return isinstance(event, TurnSaid) and event.speaker is Speaker.CALLER
