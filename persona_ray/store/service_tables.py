"""Tables of the service: its keys, its jobs, its live calls, its rollouts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from persona_ray.store.tables import Base, UtcDateTime


class ApiKeyRow(Base):
    """A bearer key of the service: what it may do, and a digest that its secret is known by."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    digest: Mapped[str] = mapped_column(String)
    scopes: Mapped[str] = mapped_column(String)
    requests_per_minute: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LiveCallRow(Base):
    """A live call as far as it is settled. `generation` counts the connections it has had: only
    the last one may settle more."""

    __tablename__ = "live_calls"
    __table_args__ = (Index(None, "call_id"), Index(None, "customer_id"), Index(None, "changed_at"))

    owner: Mapped[str] = mapped_column(String, primary_key=True)
    call_id: Mapped[str] = mapped_column(String, primary_key=True)
    customer_id: Mapped[str] = mapped_column(String)
    generation: Mapped[int] = mapped_column(Integer)
    sound: Mapped[dict[str, Any]] = mapped_column(JSON)
    checkpoint: Mapped[dict[str, Any]] = mapped_column(JSON)
    results: Mapped[int] = mapped_column(Integer)
    ended: Mapped[bool] = mapped_column(Boolean)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LiveResultRow(Base):
    """A result of a live call, numbered from 1, as the client gets it."""

    __tablename__ = "live_results"
    __table_args__ = (
        ForeignKeyConstraint(
            ["owner", "call_id"],
            ["live_calls.owner", "live_calls.call_id"],
            name="fk_live_results_owner_live_calls",
            ondelete="CASCADE",
        ),
    )

    owner: Mapped[str] = mapped_column(String, primary_key=True)
    call_id: Mapped[str] = mapped_column(String, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    body: Mapped[str] = mapped_column(Text)


class JobRow(Base):
    """A batch of calls; `owner` is the key that asked. `fingerprint` tells whether a request that
    comes again under one `idempotency_key` is the same."""

    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("owner", "idempotency_key"), Index(None, "ended_at"))

    job_id: Mapped[str] = mapped_column(String, primary_key=True)
    owner: Mapped[str] = mapped_column(String)
    idempotency_key: Mapped[str | None] = mapped_column(String)
    fingerprint: Mapped[str] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancelled: Mapped[bool] = mapped_column(Boolean)


class JobCallRow(Base):
    """One call of a job. `lease` names who works on it, until `until`; of one that waits, `until`
    is when it may be tried again."""

    __tablename__ = "job_calls"
    __table_args__ = (
        ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name="fk_job_calls_job_id_jobs", ondelete="CASCADE"
        ),
        Index(None, "name"),
        Index(None, "state"),
    )

    job_id: Mapped[str] = mapped_column(String, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String)
    uri: Mapped[str] = mapped_column(String)
    uploaded: Mapped[bool] = mapped_column(Boolean)
    channel: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String)
    attempts: Mapped[int] = mapped_column(Integer)
    lease: Mapped[str] = mapped_column(String)
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class RolloutRow(Base):
    """What was seen of a challenger beside a champion; `decided_at` is when it was taken back."""

    __tablename__ = "rollouts"
    __table_args__ = (Index(None, "challenger"),)

    champion: Mapped[str] = mapped_column(String, primary_key=True)
    challenger: Mapped[str] = mapped_column(String, primary_key=True)
    counts: Mapped[dict[str, float]] = mapped_column(JSON)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
