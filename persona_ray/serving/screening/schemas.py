"""What routes of screening are asked and answer, as OpenAPI shows it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    TypeAdapter,
)

from persona_ray.inference.screening.policy import Action
from persona_ray.inference.screening.reasons import Reason, ReasonCode, in_english
from persona_ray.inference.screening.records import (
    CallEvent,
    Channel,
    Known,
    NotListed,
    Outcome,
    Standing,
    Verdict,
)
from persona_ray.inference.screening.steps import Choice
from persona_ray.serving.live.protocol import Id
from persona_ray.serving.schemas import Strict
from persona_ray.serving.screening.fields import CallerNumber, CallTime

if TYPE_CHECKING:
    from persona_ray.inference.screening.policy import Decision
    from persona_ray.serving.screening.links import Links
    from persona_ray.store.screening.call_records import ScreenedCall
    from persona_ray.store.screening.corrections import Correction

CONNECT = "/v1/screening/calls"
_EXAMPLE_EVENT: dict[str, JsonValue] = {
    "call_id": "3c7f",
    "number": "+8613800138000",
    "user_id": "li",
}
UserId = Annotated[Id, Field("", description="whom it is for; with the scope operator")]


class EventRequest(Strict):
    """A call that comes in."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE_EVENT})

    call_id: Id = Field(min_length=1, description="of the phone or switch; names the call")
    user_id: UserId
    number: CallerNumber = Field("", description="the caller's; empty: withheld")
    at: CallTime | None = Field(None, description="when it came; default: now")
    channel: Channel = Channel.TELEPHONE


class EventAnswer(BaseModel):
    """What to do with the call. `ask` and `screen`: connect `connect` (WebSocket) and send the
    caller's sound; what to do with the line then comes as events. `pass` and `reject` are final."""

    call_id: str
    action: Action
    name: str = Field(description="whom to show, where that is known")
    standing: Standing | None
    category: str
    reason: str
    connect: str | None
    trace_id: str


class AnswerRequest(Strict):
    """What the user wants with a call that goes on."""

    choice: Choice
    user_id: UserId


class CorrectionRequest(Strict):
    """What a call was; the user's own sets follow."""

    category: str = Field(min_length=1, max_length=64, description="one of the policy's")
    standing: Standing | None = Field(
        None, description="of the caller's number from now on; default: the category's"
    )
    user_id: UserId


class CorrectionAnswer(BaseModel):
    """One correction; `by` is the name of the key."""

    before: str
    category: str
    model: str = Field(description="that had judged the call")
    by: str
    at: datetime


class SettingsRequest(Strict):
    """What a user wants."""

    wanted: list[str] | None = Field(
        max_length=1000, description="categories that get through; null: the configuration's"
    )
    user_id: UserId


class SettingsAnswer(BaseModel):
    """What gets through to a user, and what there is to choose from."""

    wanted: list[str]
    chosen: bool = Field(description="by the user; false: the configuration's")
    categories: dict[str, Standing]


class TurnAnswer(BaseModel):
    """What one side said, in seconds from the start of the call."""

    speaker: Literal["caller", "robot"]
    text: str
    start_s: FiniteFloat
    end_s: FiniteFloat


class ReasonAnswer(BaseModel):
    """What a verdict rests on; `values` are those of its sentence."""

    code: ReasonCode
    values: dict[str, str | FiniteFloat]


class InboxItem(BaseModel):
    """A call in the inbox. `outcome` null: it goes on. `links` open without a key until they
    expire."""

    call_id: str
    user_id: str
    number: str
    at: datetime
    outcome: Outcome | None
    standing: Standing | None
    category: str
    corrected: bool
    reason: str = Field(description="in English")
    reasons: list[ReasonAnswer] = Field(description="the same, by code")
    first_words: str = Field(description="of the caller")
    links: dict[str, str]


class InboxAnswer(BaseModel):
    """A page; `next` is the `before` of the next one."""

    calls: list[InboxItem]
    next: str | None


class CallScreenedAnswer(InboxItem):
    """A call with everything that its verdict rests on. `said`: the category as the system saw
    it, before any correction."""

    action: Action
    said: str
    turns: list[TurnAnswer]
    voice: dict[str, Any] | None
    probabilities: dict[str, FiniteFloat] | None
    evidence: dict[str, FiniteFloat]
    models: dict[str, str]
    decided_s: FiniteFloat | None
    duration_s: FiniteFloat | None
    corrections: list[CorrectionAnswer]


class ForgottenAnswer(BaseModel):
    """What was deleted."""

    calls: int
    recordings: int


@functools.cache
def _verdicts() -> TypeAdapter[Verdict]:
    return TypeAdapter(Verdict)


@functools.cache
def _sources() -> TypeAdapter[Known | NotListed]:
    return TypeAdapter(Known | NotListed)


def verdict_body(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the store keeps it."""
    body: dict[str, Any] = _verdicts().dump_python(verdict, mode="json", exclude={"call"})
    body |= reasons_body(verdict.reasons)
    match verdict.voice:
        case None:
            pass
        case found:
            body["voice"]["kind"] = type(found).__name__
    return body


def source_body(source: Known | NotListed) -> dict[str, Any]:
    """A source as the store keeps it."""
    body: dict[str, Any] = _sources().dump_python(source, mode="json")
    return body


def read_source(body: Mapping[str, Any]) -> Known | NotListed:
    return NotListed() if not body else _sources().validate_python(dict(body))


def event_of(call: ScreenedCall) -> CallEvent:
    """The call as inference has it."""
    return CallEvent(call.call_id, call.user_id, call.number, call.at, Channel(call.channel))


def notice_body(verdict: Verdict) -> dict[str, Any]:
    """What the user is told of a verdict: no number, no words."""
    return {
        "outcome": verdict.outcome,
        "standing": verdict.standing,
        "category": verdict.category,
        "decided_s": verdict.decided_s,
        "duration_s": verdict.duration_s,
    } | reasons_body(verdict.reasons)


def reasons_body(reasons: Iterable[Reason]) -> dict[str, Any]:
    """Reasons as they are kept and told: by code for who has words of his own, and in English."""
    told = tuple(reasons)
    coded = [{"code": one.code.value, "values": dict(one.values)} for one in told]
    return {"reason": in_english(told), "reasons": coded}


def inbox_item(call: ScreenedCall, links: Links, recorded: bool) -> InboxItem:
    """`recorded`: there is a recording."""
    return InboxItem(**_item(call, links, recorded))


def call_answer(
    call: ScreenedCall, links: Links, recorded: bool, corrections: list[Correction]
) -> CallScreenedAnswer:
    """Everything that is known of a call."""
    body = call.verdict or {}
    judgement = body.get("judgement")
    return CallScreenedAnswer(
        **_item(call, links, recorded),
        action=Action(call.decision),
        said=str(body.get("category", "")),
        turns=body.get("turns", []),
        voice=body.get("voice"),
        probabilities=None if judgement is None else judgement["probabilities"],
        evidence=body.get("evidence", {}),
        models=body.get("models", {}),
        decided_s=body.get("decided_s"),
        duration_s=body.get("duration_s"),
        corrections=[correction_answer(one) for one in corrections],
    )


def event_answer(call_id: str, decision: Decision, trace_id: str) -> EventAnswer:
    """What to do with a call that was handed over."""
    final = decision.action in (Action.PASS, Action.REJECT)
    return EventAnswer(
        call_id=call_id,
        action=decision.action,
        name=decision.name,
        standing=decision.standing,
        category=decision.category,
        reason=decision.reason,
        connect=None if final else CONNECT,
        trace_id=trace_id,
    )


def correction_answer(made: Correction) -> CorrectionAnswer:
    return CorrectionAnswer(
        before=made.before, category=made.category, model=made.model, by=made.by, at=made.at
    )


def links_of(call: ScreenedCall, links: Links, recorded: bool) -> dict[str, str]:
    """To what there is of a call."""
    found = {}
    if call.verdict and call.verdict.get("turns"):
        found["transcript"] = links.make("transcript", call.ref)
    if recorded:
        found["recording"] = links.make("recording", call.ref)
    return found


def _item(call: ScreenedCall, links: Links, recorded: bool) -> dict[str, Any]:
    body = call.verdict or {}
    said = [turn["text"] for turn in body.get("turns", []) if turn["speaker"] == "caller"]
    return {
        "call_id": call.call_id,
        "user_id": call.user_id,
        "number": call.number,
        "at": call.at,
        "outcome": call.outcome or None,
        "standing": call.standing or None,
        "category": call.category,
        "corrected": bool(body) and call.category != body.get("category", ""),
        "reason": body.get("reason", ""),
        "reasons": body.get("reasons", []),
        "first_words": said[0] if said else "",
        "links": links_of(call, links, recorded),
    }
