"""Tables of screened calls, of what users are told of them, and of what they want."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from persona_ray.store.tables import Base, UtcDateTime


class ScreenedCallRow(Base):
    """A call that was handed over. `ref` names it in signed links, where no id of a person may
    stand. `checkpoint`: where another replica can go on; `events`: what the line was told so far.
    `verdict` NULL: the call goes on."""

    __tablename__ = "screened_calls"
    __table_args__ = (
        UniqueConstraint("ref"),
        Index(None, "user_id", "at"),
        Index(None, "number"),
        Index(None, "at"),
        Index(None, "alive_at"),
        Index(None, "ended_at"),
    )

    user_id: Mapped[str] = mapped_column(String, primary_key=True)
    call_id: Mapped[str] = mapped_column(String, primary_key=True)
    ref: Mapped[str] = mapped_column(String)
    number: Mapped[str] = mapped_column(String)
    channel: Mapped[str] = mapped_column(String)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision: Mapped[str] = mapped_column(String)
    source: Mapped[dict[str, Any]] = mapped_column(JSON)
    generation: Mapped[int] = mapped_column(Integer)
    sound: Mapped[dict[str, Any]] = mapped_column(JSON)
    checkpoint: Mapped[dict[str, Any]] = mapped_column(JSON)
    events: Mapped[list[str]] = mapped_column(JSON)
    answer: Mapped[str] = mapped_column(String)
    outcome: Mapped[str] = mapped_column(String)
    standing: Mapped[str] = mapped_column(String)
    category: Mapped[str] = mapped_column(String)
    verdict: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    recording: Mapped[str] = mapped_column(String)
    alive_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ScreeningCorrectionRow(Base):
    """A user's word on what a call was: a sample to learn from. `model` is what had judged it."""

    __tablename__ = "screening_corrections"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "call_id"],
            ["screened_calls.user_id", "screened_calls.call_id"],
            name="fk_screening_corrections_user_id_screened_calls",
            ondelete="CASCADE",
        ),
        Index(None, "user_id", "call_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(String)
    call_id: Mapped[str] = mapped_column(String)
    before: Mapped[str] = mapped_column(String)
    category: Mapped[str] = mapped_column(String)
    model: Mapped[str] = mapped_column(String)
    by: Mapped[str] = mapped_column(String)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ScreeningNoticeRow(Base):
    """Something to tell a user of a call; numbers grow in the order of commits."""

    __tablename__ = "screening_notices"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "call_id"],
            ["screened_calls.user_id", "screened_calls.call_id"],
            name="fk_screening_notices_user_id_screened_calls",
            ondelete="CASCADE",
        ),
        Index(None, "user_id", "id"),
        # SQLite gives numbers of deleted rows again otherwise.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    user_id: Mapped[str] = mapped_column(String)
    call_id: Mapped[str] = mapped_column(String)
    kind: Mapped[str] = mapped_column(String)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ScreeningDeliveryRow(Base):
    """A notice on its way to a webhook. `lease` names who sends it, until `due_at`; of one that
    waits, `due_at` is when it may be tried."""

    __tablename__ = "screening_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["notice_id"],
            ["screening_notices.id"],
            name="fk_screening_deliveries_notice_id_screening_notices",
            ondelete="CASCADE",
        ),
        Index(None, "state", "due_at"),
    )

    notice_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    url: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[str] = mapped_column(String)
    attempts: Mapped[int] = mapped_column(Integer)
    lease: Mapped[str] = mapped_column(String)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    said: Mapped[str] = mapped_column(String)


class ScreeningSettingsRow(Base):
    """What a user wants: categories that get through. `wanted` NULL: the configuration's."""

    __tablename__ = "screening_settings"

    user_id: Mapped[str] = mapped_column(String, primary_key=True)
    wanted: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
