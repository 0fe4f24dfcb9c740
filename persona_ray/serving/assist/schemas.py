"""Answers about pushes, what was said of them, and what calls came to."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from persona_ray.conversation import Action, Outcome, Rating
from persona_ray.serving.live.protocol import Id
from persona_ray.store.assist.records import PushState

if TYPE_CHECKING:
    from persona_ray.store.assist.records import Given, Push


class GivenAnswer(BaseModel):
    """Feedback as it stands: 0 to 100 points, and whether they count."""

    action: Action
    script_id: str
    rating: Rating | None
    text: str
    score: float
    counted: bool
    at: datetime


class PushAnswer(BaseModel):
    """A push: its scripts, the large one first, and how far it has come. Times are null for what
    has not happened."""

    push_id: str
    turn_seq: int
    channel: Literal["device", "customer"]
    scripts: list[str]
    state: PushState
    made_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    seen_at: datetime | None
    late_at: datetime | None
    failed_at: datetime | None
    feedback: GivenAnswer | None = None


class PushesAnswer(BaseModel):
    """Of a call, in order."""

    pushes: list[PushAnswer]


class OutcomeAnswer(BaseModel):
    """The outcome that stands. `counted` false: it came too late to count. `rescored`: pushes whose
    feedback was scored anew."""

    call_id: str
    outcome: Outcome
    counted: bool
    rescored: int


class ForgetRequest(BaseModel):
    """Whom to forget."""

    by: Literal["agent", "customer"]
    name: Id = Field("", description="an id; an agent's may be the key's own")


class AssistForgotten(BaseModel):
    """What was deleted: calls with everything that was said, suggested and learned of them."""

    calls: int


def push_answer(push: Push, given: Given | None = None) -> PushAnswer:
    return PushAnswer(
        push_id=push.push_id,
        turn_seq=push.turn,
        channel="device" if push.channel == "device" else "customer",
        scripts=list(push.scripts),
        state=push.state,
        made_at=push.made_at,
        expires_at=push.expires_at,
        sent_at=push.sent_at,
        seen_at=push.seen_at,
        late_at=push.late_at,
        failed_at=push.failed_at,
        feedback=None if given is None else _given_answer(given),
    )


def _given_answer(given: Given) -> GivenAnswer:
    said = given.said
    return GivenAnswer(
        action=Action(said.action),
        script_id=said.script_id,
        rating=Rating(said.rating) if said.rating else None,
        text=said.text,
        score=given.score,
        counted=given.counted,
        at=given.at,
    )
