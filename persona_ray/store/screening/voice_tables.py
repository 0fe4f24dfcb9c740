"""Tables of the voice libraries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Float, ForeignKeyConstraint, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from persona_ray.store.tables import Base, UtcDateTime


class VoiceRow(Base):
    """A person's voice: the mean of its samples. `near` is another person's voice that this one is
    so near to that an operator has to look (empty: none), `expires_at` NULL: until taken out."""

    __tablename__ = "screening_voices"
    __table_args__ = (Index(None, "state"), Index(None, "expires_at"))

    voice_id: Mapped[str] = mapped_column(String, primary_key=True)
    engine: Mapped[str] = mapped_column(String)
    voiceprint: Mapped[bytes] = mapped_column(LargeBinary)
    standing: Mapped[str] = mapped_column(String)
    category: Mapped[str] = mapped_column(String)
    origin: Mapped[str] = mapped_column(String)
    state: Mapped[str] = mapped_column(String)
    near: Mapped[str] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class VoiceSampleRow(Base):
    """What one call added to a voice."""

    __tablename__ = "screening_voice_samples"
    __table_args__ = (
        ForeignKeyConstraint(
            ["voice_id"],
            ["screening_voices.voice_id"],
            name="fk_screening_voice_samples_voice_id_screening_voices",
            ondelete="CASCADE",
        ),
        Index(None, "call_id"),
    )

    voice_id: Mapped[str] = mapped_column(String, primary_key=True)
    call_id: Mapped[str] = mapped_column(String, primary_key=True)
    voiceprint: Mapped[bytes] = mapped_column(LargeBinary)
    speech_s: Mapped[float] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class VoiceHistoryRow(Base):
    """What was done to a voice, by whom and why; `entry` is what it was said to be afterwards, NULL
    where it was gone."""

    __tablename__ = "screening_voice_history"
    __table_args__ = (Index(None, "voice_id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    voice_id: Mapped[str] = mapped_column(String)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String)
    action: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(Text)
    entry: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
