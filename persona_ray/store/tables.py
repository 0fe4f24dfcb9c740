"""The tables. Migrations in `migrations/versions` must bring a database to exactly these."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    DateTime,
    Float,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes, kept in UTC: SQLite knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class AnnotationRow(Base):
    """What one annotator said of one clip, or of one span of a call.

    `target` is that clip or span as one text: it makes an annotation unique where clip_id is NULL.
    """

    __tablename__ = "annotations"
    __table_args__ = (
        UniqueConstraint("target", "annotator"),
        Index(None, "call_id"),
        Index(None, "clip_id"),
        Index(None, "customer_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    target: Mapped[str] = mapped_column(String)
    annotator: Mapped[str] = mapped_column(String)
    label: Mapped[str] = mapped_column(String)
    clip_id: Mapped[str | None] = mapped_column(String)
    call_id: Mapped[str | None] = mapped_column(String)
    customer_id: Mapped[str | None] = mapped_column(String)
    start_s: Mapped[float | None] = mapped_column(Float)
    end_s: Mapped[float | None] = mapped_column(Float)
    note: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SplitRow(Base):
    """The split that a customer (or, by sentence, a clip) was dealt, once and for all."""

    __tablename__ = "split_assignments"
    __table_args__ = (Index(None, "customer_id"),)

    salt: Mapped[str] = mapped_column(String, primary_key=True)
    unit: Mapped[str] = mapped_column(String, primary_key=True)
    key: Mapped[str] = mapped_column(String, primary_key=True)
    customer_id: Mapped[str] = mapped_column(String)
    split: Mapped[str] = mapped_column(String)
    label: Mapped[str] = mapped_column(String)
    assigned_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RecognitionModelRow(Base):
    """A model that recognised calls; `fingerprint` is its bundle's digest."""

    __tablename__ = "recognition_models"

    fingerprint: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    version: Mapped[str] = mapped_column(String)
    noted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AnswerColumns:
    """What a model said of a call or customer: `primary_label` NULL means no colour, `reason` why.

    The labels stand beside the probabilities so that SQL can count colours.
    """

    customer_id: Mapped[str] = mapped_column(String)
    primary_label: Mapped[str | None] = mapped_column(String)
    secondary_label: Mapped[str | None] = mapped_column(String)
    probabilities: Mapped[dict[str, float] | None] = mapped_column(JSON(none_as_null=True))
    clips: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    recognised_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CallRecognitionRow(AnswerColumns, Base):
    """What one model said of one call of the archive."""

    __tablename__ = "call_recognitions"
    __table_args__ = (Index(None, "customer_id"),)

    fingerprint: Mapped[str] = mapped_column(String, primary_key=True)
    call_id: Mapped[str] = mapped_column(String, primary_key=True)
    status: Mapped[str] = mapped_column(String)
    detail: Mapped[str] = mapped_column(Text)
    flags: Mapped[list[str]] = mapped_column(JSON)


class CustomerRecognitionRow(AnswerColumns, Base):
    """What one model said of one customer over all calls; `calls_used` of `calls` had a colour."""

    __tablename__ = "customer_recognitions"
    __table_args__ = (Index(None, "customer_id"),)

    fingerprint: Mapped[str] = mapped_column(String, primary_key=True)
    customer_id: Mapped[str] = mapped_column(String, primary_key=True)
    calls: Mapped[int]
    calls_used: Mapped[int]
