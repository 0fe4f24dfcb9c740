"""Tables of assistance. All of a call goes with it: whoever deletes calls deletes everything that
was said, put before the agent and learned of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from persona_ray.store.tables import Base, UtcDateTime


class ScriptLibraryRow(Base):
    """A version of a script library, for good: suggestions name it. At most one is `current`."""

    __tablename__ = "assist_libraries"

    name: Mapped[str] = mapped_column(String, primary_key=True)
    version: Mapped[str] = mapped_column(String, primary_key=True)
    digest: Mapped[str] = mapped_column(String)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[str] = mapped_column(String)
    current: Mapped[bool] = mapped_column(Boolean)


class AssistCallRow(Base):
    """A call as far as it is settled. `generation` counts the connections it has had: only the last
    one may settle more. `ended_at` NULL: it goes on. `outcome` is empty until somebody tells it."""

    __tablename__ = "assist_calls"
    __table_args__ = (
        Index(None, "call_id"),
        Index(None, "customer_id"),
        Index(None, "started_at"),
        Index(None, "alive_at"),
        Index(None, "ended_at"),
    )

    agent_id: Mapped[str] = mapped_column(String, primary_key=True)
    call_id: Mapped[str] = mapped_column(String, primary_key=True)
    customer_id: Mapped[str] = mapped_column(String)
    scene: Mapped[dict[str, Any]] = mapped_column(JSON)
    sound: Mapped[dict[str, Any]] = mapped_column(JSON)
    generation: Mapped[int] = mapped_column(Integer)
    checkpoint: Mapped[dict[str, Any]] = mapped_column(JSON)
    events: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    alive_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str] = mapped_column(String)
    outcome_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def _of_call(table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["agent_id", "call_id"],
        ["assist_calls.agent_id", "assist_calls.call_id"],
        name=f"fk_{table}_agent_id_assist_calls",
        ondelete="CASCADE",
    )


def _of_push(table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["push_id"],
        ["assist_pushes.push_id"],
        name=f"fk_{table}_push_id_assist_pushes",
        ondelete="CASCADE",
    )


class AssistEventRow(Base):
    """What a call's line was told, and the agent's devices are. `seq` numbers a call's events from
    1; 0 is what devices alone are told of its beginning. `id` grows in the order of commits: the
    number of the devices' notice. `expires_at`: afterwards it is worth nothing."""

    __tablename__ = "assist_events"
    __table_args__ = (
        _of_call("assist_events"),
        UniqueConstraint("agent_id", "call_id", "seq"),
        Index(None, "agent_id", "id"),
        # SQLite gives numbers of deleted rows again otherwise.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    agent_id: Mapped[str] = mapped_column(String)
    call_id: Mapped[str] = mapped_column(String)
    seq: Mapped[int] = mapped_column(Integer)
    body: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    push_id: Mapped[str] = mapped_column(String)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AssistSuggestionRow(Base):
    """What was decided after a customer's sentence, event `turn` of the call. `reason` is empty
    where something was pushed, else why not; `chosen` is empty where nothing was weighed."""

    __tablename__ = "assist_suggestions"
    __table_args__ = (
        _of_call("assist_suggestions"),
        UniqueConstraint("agent_id", "call_id", "turn"),
        Index(None, "reason", "at"),
        Index(None, "library", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    agent_id: Mapped[str] = mapped_column(String)
    call_id: Mapped[str] = mapped_column(String)
    turn: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    product: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(String)
    library: Mapped[str] = mapped_column(String)
    ranker: Mapped[str] = mapped_column(String)
    context: Mapped[dict[str, Any]] = mapped_column(JSON)
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    shown: Mapped[list[int]] = mapped_column(JSON)
    chosen: Mapped[str] = mapped_column(String)
    explored: Mapped[bool] = mapped_column(Boolean)


class AssistPushRow(Base):
    """Scripts on their way to whom `channel` names, the large one first. `sent_at`: to the first
    device; `late_at`: it was dropped; `failed_at`: the channel would not take it."""

    __tablename__ = "assist_pushes"
    __table_args__ = (
        _of_call("assist_pushes"),
        Index(None, "agent_id", "call_id"),
        Index(None, "state", "expires_at"),
    )

    push_id: Mapped[str] = mapped_column(String, primary_key=True)
    agent_id: Mapped[str] = mapped_column(String)
    call_id: Mapped[str] = mapped_column(String)
    turn: Mapped[int] = mapped_column(Integer)
    channel: Mapped[str] = mapped_column(String)
    scripts: Mapped[list[str]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    late_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FeedbackColumns:
    """What an agent did with a push: `script_id` of its scripts, `text` as it was said."""

    action: Mapped[str] = mapped_column(String)
    script_id: Mapped[str] = mapped_column(String)
    rating: Mapped[str] = mapped_column(String)
    text: Mapped[str] = mapped_column(Text)
    score: Mapped[float] = mapped_column(Float)
    counted: Mapped[bool] = mapped_column(Boolean)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class AssistFeedbackRow(FeedbackColumns, Base):
    """The feedback on a push that stands, scored with what its call came to."""

    __tablename__ = "assist_feedback"
    __table_args__ = (_of_push("assist_feedback"), Index(None, "at"))

    push_id: Mapped[str] = mapped_column(String, primary_key=True)


class AssistFeedbackHistoryRow(FeedbackColumns, Base):
    """Feedback that another took the place of, and such as came too late to."""

    __tablename__ = "assist_feedback_history"
    __table_args__ = (_of_push("assist_feedback_history"), Index(None, "push_id"))

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    push_id: Mapped[str] = mapped_column(String)


class AssistSampleRow(Base):
    """A pair of speech information and script to learn from: a push's feedback that counts. One
    that changes is a new sample, under a new number. `used_by`: the first retraining that had it,
    empty for a new one."""

    __tablename__ = "assist_samples"
    __table_args__ = (
        _of_push("assist_samples"),
        UniqueConstraint("push_id"),
        Index(None, "used_by"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    push_id: Mapped[str] = mapped_column(String)
    script_id: Mapped[str] = mapped_column(String)
    positive: Mapped[bool] = mapped_column(Boolean)
    score: Mapped[float] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_by: Mapped[str] = mapped_column(String)


class AssistRetrainingRow(Base):
    """A retraining, and what came of it: `samples` of it up to number `upto`, `positives` among
    them; `before` and `made` are versions of the ranker; `ended_at` NULL: it goes on."""

    __tablename__ = "assist_retrainings"

    retraining_id: Mapped[str] = mapped_column(String, primary_key=True)
    reason: Mapped[str] = mapped_column(String)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    upto: Mapped[int] = mapped_column(Integer)
    samples: Mapped[int] = mapped_column(Integer)
    positives: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String)
    before: Mapped[str] = mapped_column(String)
    made: Mapped[str] = mapped_column(String)
    judgement: Mapped[dict[str, Any]] = mapped_column(JSON)
