"""The application of assistance on a port, and calls that go as a test tells them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from persona_ray.config import RunConfig
from persona_ray.conversation import Emotion, Relation, Speaker
from persona_ray.serving.application import build_app
from persona_ray.serving.assist.protocol import (
    CallBegan,
    CallEnded,
    Kept,
    KeywordFelt,
    Pushed,
    ShownScript,
    TurnHeard,
)
from persona_ray.serving.assist.services import AssistServices
from persona_ray.serving.in_thread import served_in_thread
from persona_ray.serving.routes.assist_calls import assist_calls
from persona_ray.serving.routes.assist_devices import assist_devices
from persona_ray.serving.routes.assist_feedback import assist_feedback
from persona_ray.serving.routes.assist_library import assist_library
from persona_ray.serving.routes.assist_live import assist_live
from persona_ray.serving.routes.assist_pages import assist_pages
from persona_ray.serving.routes.health import health
from persona_ray.store import Store
from persona_ray.store.assist.records import AssistCall, NewEvent, NewPush, NewSuggestion
from tests.unit.serving.assist.parts import Fakes, services_of

ROUTERS = (
    health,
    assist_live,
    assist_calls,
    assist_devices,
    assist_feedback,
    assist_library,
    assist_pages,
)
SCENE = {"product": "credit_card", "step": "offer", "campaign": "spring"}
FEE = "年费太贵了，我不想要。"
ANSWERS = ("首年免年费，刷满六次次年也免。", "您看重的是费用，我理解。", "先用一年，不花一分钱。")


@dataclass(frozen=True)
class Assist:
    """Where the pages are, what is behind them, and the key of agent `li`."""

    address: str
    services: AssistServices
    key: str

    @property
    def store(self) -> Store:
        return self.services.store

    def call(self, call_id: str) -> ToldCall:
        return ToldCall.begin(self.store, call_id)


@dataclass
class ToldCall:
    """A call of agent `li`: what is told here is what its line would have told."""

    store: Store
    record: AssistCall
    events: int = 0
    pushes: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, store: Store, call_id: str) -> ToldCall:
        began = CallBegan(seq=0, call_id=call_id, customer_id="c-1", scene=SCENE)
        body = began.model_dump_json()
        return cls(store, store.assist_calls.open("li", call_id, {}, SCENE, "c-1", None, body))

    def agent(self, text: str) -> None:
        self._tell(
            TurnHeard(seq=self.events + 1, speaker=Speaker.AGENT, text=text, start_s=1.0, end_s=2.0)
        )

    def customer(
        self,
        text: str,
        emotion: Emotion = Emotion.ANNOYED,
        valence: float = -0.6,
        keyword: str = "",
    ) -> None:
        felt: tuple[KeywordFelt, ...] = ()
        if keyword:
            at = text.index(keyword)
            felt = (
                KeywordFelt(
                    text=keyword,
                    start=at,
                    end=at + len(keyword),
                    emotion=emotion,
                    probability=0.9,
                ),
            )
        self._tell(
            TurnHeard(
                seq=self.events + 1,
                speaker=Speaker.CUSTOMER,
                text=text,
                start_s=3.0,
                end_s=5.0,
                emotion=emotion,
                valence=valence,
                relation=Relation.OBJECTION,
                keywords=felt,
            )
        )

    def push(self, expires_s: float = 60.0, *texts: str) -> str:
        """Its id."""
        shown = tuple(
            ShownScript(script_id=f"s{place}", text=text, topic="fee", style="factual")
            for place, text in enumerate(texts or ANSWERS)
        )
        push_id = f"{self.record.call_id}-{len(self.pushes)}"
        expires_at = datetime.now(UTC) + timedelta(seconds=expires_s)
        made = NewPush(
            push_id=push_id,
            channel="device",
            scripts=[one.script_id for one in shown],
            expires_at=expires_at,
        )
        event = Pushed(
            seq=self.events + 1,
            push_id=push_id,
            turn_seq=self.events,
            scripts=shown,
            because=("relation=objection", "topic=fee", "emotion=annoyed", "style=factual"),
            expires_in_s=expires_s,
        )
        logged = NewSuggestion(
            turn=self.events,
            at=datetime.now(UTC),
            product=SCENE["product"],
            context={},
            library="demo 1",
            ranker="r 1",
            chosen=shown[0].script_id,
            push=made,
        )
        self._tell(event, logged)
        self.pushes.append(push_id)
        return push_id

    def end(self) -> None:
        event = CallEnded(seq=self.events + 1, duration_s=61.0, turns=2, pushes=1)
        self._tell(event, ended=True)

    def _tell(
        self, event: Kept, suggestion: NewSuggestion | None = None, *, ended: bool = False
    ) -> None:
        new = NewEvent(event.model_dump_json())
        if suggestion is not None and suggestion.push is not None:
            new = NewEvent(new.body, suggestion.push.push_id, suggestion.push.expires_at)
        logged = [] if suggestion is None else [suggestion]
        self.store.assist_calls.settle(
            self.record, {"x": 1}, self.events, [new], logged, ended=ended
        )
        self.events += 1


@contextlib.contextmanager
def serve(config: RunConfig, store: Store, fake: Fakes) -> Iterator[Assist]:
    """Real devices, pushes and feedback; models are faked."""
    services = services_of(config, store, fake)
    token = store.keys.create("li", ["assist"], requests_per_minute=100_000).token
    with served_in_thread(build_app(services, ROUTERS)) as address:
        yield Assist(address, services, token)
