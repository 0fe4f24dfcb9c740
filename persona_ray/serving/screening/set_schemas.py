"""What users and operators send and get of sets of numbers, reports and appeals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from persona_ray.inference.screening.records import Known, Standing
from persona_ray.serving.schemas import Strict
from persona_ray.serving.screening.fields import Moment
from persona_ray.serving.screening.statements import Kind
from persona_ray.store.screening.records import Appeal, HistoryItem, Judgement, Report

Number = Annotated[
    str, Field(min_length=1, max_length=40, description="in any form; without country code: here's")
]
Key = Annotated[str, Field(min_length=1, max_length=128, description="a number, or a voice's id")]
Reason = Annotated[str, Field("", max_length=500, description="for the history")]


class NumberName(Strict):
    """A number, in the body: addresses of requests go into logs."""

    number: Number
    reason: Reason


class OwnNumber(NumberName):
    """A number for a user's own sets."""

    standing: Standing
    category: str = Field("", max_length=64)
    name: str = Field("", max_length=128, description="whom to show")
    expires_at: Moment | None = Field(None, description="default: it stays")


class KeyName(Strict):
    """A number or voice."""

    kind: Kind = Kind.NUMBERS
    key: Key


class Confirmation(KeyName):
    """What an operator found."""

    standing: Standing
    category: str = Field("", max_length=64)
    name: str = Field("", max_length=128, description="of a number: whom to show")
    reason: Reason
    expires_at: Moment | None = None


class Undoing(Strict):
    """From when on automatic entries are undone."""

    since: Moment
    reason: str = Field(min_length=1, max_length=500, description="for the history")


class ReportRequest(KeyName):
    """What somebody says of a number or voice."""

    category: str = Field(max_length=64)
    call_id: str = Field("", max_length=128, description="the call that it is about")
    device: str = Field("", max_length=128, description="where it is said; default: the key")


class AppealRequest(KeyName):
    """Why a shared entry is wrong."""

    text: str = Field(min_length=1, max_length=2000)


class AppealDecision(Strict):
    """An operator's."""

    granted: bool
    reason: str = Field(min_length=1, max_length=500)


class NumberAnswer(BaseModel):
    """An entry as it stands."""

    number: str
    standing: Standing
    category: str
    name: str
    shared: bool
    origin: str
    expires_at: datetime | None


class NumbersAnswer(BaseModel):
    """`next`: send it as `after`; null: that is all."""

    numbers: list[NumberAnswer]
    next: str | None


class TallyAnswer(BaseModel):
    """What the reports on a key come to; `standing` is empty where they do not suffice."""

    standing: str
    category: str
    persons: int
    weight: float
    reason: str


class ReportAnswer(BaseModel):
    """A report of one's own."""

    report_id: str
    kind: str
    key: str
    category: str
    at: datetime
    retracted_at: datetime | None


class ReportsAnswer(BaseModel):
    """Newest first."""

    reports: list[ReportAnswer]


class HistoryAnswer(BaseModel):
    """One thing that was done to an entry."""

    at: datetime
    actor: str
    action: str
    reason: str
    entry: Mapping[str, Any] | None


class InspectionAnswer(BaseModel):
    """What is known of a number or voice: its reports' sum, and what was done to its entry."""

    tally: TallyAnswer
    history: list[HistoryAnswer]


class ReportedKey(BaseModel):
    """A key with so many persons who report it."""

    key: str
    persons: int


class ReportedAnswer(BaseModel):
    """Most persons first."""

    keys: list[ReportedKey]


class AppealAnswer(BaseModel):
    """An appeal, as its appellant and operators see it."""

    appeal_id: str
    kind: str
    key: str
    text: str
    state: str
    made_at: datetime
    decided_at: datetime | None
    decision: str


class AppealsAnswer(BaseModel):
    """Open ones with the oldest first, one's own with the latest first."""

    appeals: list[AppealAnswer]


class UndoneAnswer(BaseModel):
    """So many numbers were concerned."""

    numbers: int


def number_answer(known: Known) -> NumberAnswer:
    return NumberAnswer(
        number=known.number,
        standing=known.standing,
        category=known.category,
        name=known.name,
        shared=not known.owner,
        origin=known.origin,
        expires_at=known.expires_at,
    )


def tally_answer(found: Judgement) -> TallyAnswer:
    return TallyAnswer(
        standing=found.standing,
        category=found.category,
        persons=found.persons,
        weight=round(found.weight, 3),
        reason=found.reason,
    )


def report_answer(report: Report) -> ReportAnswer:
    return ReportAnswer(
        report_id=report.report_id,
        kind=report.kind,
        key=report.key,
        category=report.category,
        at=report.at,
        retracted_at=report.retracted_at,
    )


def history_answer(item: HistoryItem) -> HistoryAnswer:
    return HistoryAnswer(
        at=item.at, actor=item.actor, action=item.action, reason=item.reason, entry=item.entry
    )


def appeal_answer(appeal: Appeal) -> AppealAnswer:
    return AppealAnswer(
        appeal_id=appeal.appeal_id,
        kind=appeal.kind,
        key=appeal.key,
        text=appeal.text,
        state=appeal.state,
        made_at=appeal.made_at,
        decided_at=appeal.decided_at,
        decision=appeal.decision,
    )
