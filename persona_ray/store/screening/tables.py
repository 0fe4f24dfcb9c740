"""Tables of screening: sets of numbers, reports and appeals, and the log of what changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, Index, Integer, String, Text, or_
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from persona_ray.store.tables import Base, UtcDateTime


def lasting(
    expires_at: InstrumentedAttribute[datetime | None], now: datetime
) -> ColumnElement[bool]:
    """`records.lasts` of a column."""
    return or_(expires_at.is_(None), expires_at > now)


class StreamRow(Base):
    """How far a stream of changes has come. `sequence` is its last change, `floor` the oldest
    sequence that can still be gone back to."""

    __tablename__ = "screening_streams"

    kind: Mapped[str] = mapped_column(String, primary_key=True)
    owner: Mapped[str] = mapped_column(String, primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer)
    floor: Mapped[int] = mapped_column(Integer)


class ChangeRow(Base):
    """One change: what stands under `key` from `sequence` on (`payload`), until the next one."""

    __tablename__ = "screening_changes"
    __table_args__ = (Index(None, "kind", "owner", "key", "sequence"), Index(None, "at"))

    kind: Mapped[str] = mapped_column(String, primary_key=True)
    owner: Mapped[str] = mapped_column(String, primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String)
    what: Mapped[str] = mapped_column(String)
    payload: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class EntryColumns:
    """What is said of a number in a set; `expires_at` NULL: until somebody takes it out."""

    standing: Mapped[str] = mapped_column(String)
    category: Mapped[str] = mapped_column(String)
    name: Mapped[str] = mapped_column(String)
    origin: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class NumberRow(EntryColumns, Base):
    """A number in the set of `owner`, empty for the shared sets."""

    __tablename__ = "screening_numbers"
    __table_args__ = (Index(None, "expires_at"), Index(None, "origin"))

    owner: Mapped[str] = mapped_column(String, primary_key=True)
    number: Mapped[str] = mapped_column(String, primary_key=True)
    listed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class NumberHistoryRow(Base):
    """What was done to an entry, by whom and why; `entry` is how it was afterwards, NULL where it
    was gone."""

    __tablename__ = "screening_number_history"
    __table_args__ = (Index(None, "owner", "number"), Index(None, "number"))

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    owner: Mapped[str] = mapped_column(String)
    number: Mapped[str] = mapped_column(String)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String)
    action: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(Text)
    entry: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class AppealRow(Base):
    """Somebody says that a number or voice is wrongly in a shared set."""

    __tablename__ = "screening_appeals"
    __table_args__ = (Index(None, "kind", "key"), Index(None, "state"))

    appeal_id: Mapped[str] = mapped_column(String, primary_key=True)
    kind: Mapped[str] = mapped_column(String)
    key: Mapped[str] = mapped_column(String)
    appellant: Mapped[str] = mapped_column(String)
    text: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decided_by: Mapped[str] = mapped_column(String)
    decision: Mapped[str] = mapped_column(Text)


class ReportRow(Base):
    """What one person says of a number or voice. `settled` tells whether an outcome that was
    confirmed later agreed: it counts in the reporter's record."""

    __tablename__ = "screening_reports"
    __table_args__ = (Index(None, "kind", "key"), Index(None, "reporter"), Index(None, "at"))

    report_id: Mapped[str] = mapped_column(String, primary_key=True)
    kind: Mapped[str] = mapped_column(String)
    key: Mapped[str] = mapped_column(String)
    reporter: Mapped[str] = mapped_column(String)
    device: Mapped[str] = mapped_column(String)
    category: Mapped[str] = mapped_column(String)
    standing: Mapped[str] = mapped_column(String)
    source: Mapped[str] = mapped_column(String)
    call_id: Mapped[str] = mapped_column(String)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    retracted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    settled: Mapped[str] = mapped_column(String)


class ReporterRow(Base):
    """How a person's reports have fared against outcomes that were confirmed later."""

    __tablename__ = "screening_reporters"

    reporter: Mapped[str] = mapped_column(String, primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    agreed: Mapped[int] = mapped_column(Integer)
    contradicted: Mapped[int] = mapped_column(Integer)
    withdrawn: Mapped[int] = mapped_column(Integer)


class OutcomeRow(Base):
    """What a number or voice turned out to be, as an operator or an appeal found."""

    __tablename__ = "screening_outcomes"

    kind: Mapped[str] = mapped_column(String, primary_key=True)
    key: Mapped[str] = mapped_column(String, primary_key=True)
    standing: Mapped[str] = mapped_column(String)
    category: Mapped[str] = mapped_column(String)
    actor: Mapped[str] = mapped_column(String)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
