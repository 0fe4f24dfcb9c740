"""Tables of the service: its keys, its jobs, its live calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKeyConstraint, Index, Integer, String, Text
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
