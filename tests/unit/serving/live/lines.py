"""A service that judges by the sound alone, and clients that stream to it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from persona_ray.audio.vad import Span
from persona_ray.config import RunConfig
from persona_ray.inference.clips import SentenceRecognition
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.live.frames import frame
from persona_ray.serving.live.protocol import (
    Ack,
    AnyEvent,
    Ended,
    Failed,
    RunningColour,
    Sentence,
    Started,
    read_event,
)
from persona_ray.serving.routes.live import live_calls
from persona_ray.serving.service import Answered, PersonalityService
from persona_ray.store import Store
from persona_ray.types import Recognition
from tests.unit.serving.fakes import LABELS, FakeService

LIVE = "/v1/live"


class Listener(FakeService):
    """Each span of speech is a sentence; its words and colours come from its samples."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.partials = 0
        self.utterances = 0
        self.before_text: Callable[[], Any] = lambda: None

    async def utterance(
        self, samples: NDArray[np.float32], rate_hz: int, speech: Sequence[Span]
    ) -> Answered[list[SentenceRecognition]]:
        self.utterances += 1
        await self._before()
        found = []
        for span in speech:
            part = samples[round(span.start_s * rate_hz) : round(span.end_s * rate_hz)]
            digest = hashlib.sha256(np.rint(part * 2000).astype(np.int16).tobytes()).digest()
            weights = np.frombuffer(digest[:4], dtype=np.uint8).astype(float) + 1
            shares = dict(zip(LABELS, (weights / weights.sum()).tolist(), strict=True))
            text = f"话{digest.hex()[:6]}"
            found.append(
                SentenceRecognition(span.start_s, span.end_s, text, Recognition(shares, 1))
            )
        return Answered(found, self.served, {"hear": 0.1})

    async def text(self, samples: NDArray[np.float32], rate_hz: int, speech: Sequence[Span]) -> str:
        del samples, rate_hz
        self.partials += 1
        found = self.before_text()
        if asyncio.iscoroutine(found):
            await found
        return f"{sum(span.duration_s for span in speech):.1f}"


def application(config: RunConfig, service: PersonalityService, store: Store) -> FastAPI:
    return build_app(Services(config, service, store), [live_calls])


def key_of(store: Store, name: str = "shop", scope: str = "live") -> dict[str, str]:
    token = store.keys.create(name, [scope], requests_per_minute=100_000).token
    return {"authorization": f"Bearer {token}"}


def pcm16(samples: NDArray[np.float32]) -> bytes:
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()


def frames_of(samples: NDArray[np.float32], size: int = 1600) -> list[bytes]:
    """Frames of `size` samples each."""
    parts = [samples[at : at + size] for at in range(0, len(samples), size)]
    return [frame(number, pcm16(part)) for number, part in enumerate(parts, 1)]


def start(call_id: str = "k1", **changes: Any) -> dict[str, Any]:
    return {"type": "start", "call_id": call_id, **changes}


@dataclass
class Heard:
    """What a client has got."""

    events: list[AnyEvent] = field(default_factory=list)
    closed: int = 0

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def sentences(self) -> list[Sentence]:
        return self.of(Sentence)

    @property
    def results(self) -> list[dict[str, Any]]:
        """Sentences, failures and colours without what depends on time."""
        wanted = self.of(Sentence) + self.of(Failed) + self.of(RunningColour) + self.of(Ended)
        dumped = [event.model_dump(exclude={"timings_s", "error"}) for event in wanted]
        return sorted(dumped, key=lambda one: (one["type"], one["seq"]))

    @property
    def acked(self) -> int:
        return max([event.frame for event in self.of(Ack)], default=0)


@contextmanager
def line(
    client: TestClient, headers: dict[str, str], first: dict[str, Any]
) -> Iterator[tuple[WebSocketTestSession, Started]]:
    with client.websocket_connect(LIVE, headers=headers) as socket:
        socket.send_json(first)
        started = read_event(socket.receive_text())
        assert isinstance(started, Started), started
        yield socket, started


def listen(socket: WebSocketTestSession, heard: Heard, until: type[Any] | None = None) -> Heard:
    """Events until the line is closed, or until one of the kind `until`."""
    try:
        while True:
            event = read_event(socket.receive_text())
            heard.events.append(event)
            if until is not None and isinstance(event, until):
                return heard
    except WebSocketDisconnect as closed:
        heard.closed = closed.code
    return heard


def whole_call(
    client: TestClient, headers: dict[str, str], frames: list[bytes], **first: Any
) -> Heard:
    """A call without a break."""
    with line(client, headers, start(**first)) as (socket, _):
        for one in frames:
            socket.send_bytes(one)
        socket.send_json({"type": "end"})
        return listen(socket, Heard())
