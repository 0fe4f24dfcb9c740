"""The table of the audit log."""

from __future__ import annotations

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from persona_ray.store.tables import Base


class AuditRow(Base):
    """One entry. Times and details are text: what is hashed is what stands here, byte by byte,
    in every database. `previous` and `hash` are SHA-256, `signature` is over the same statement."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "at"),)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String)
    actor: Mapped[str] = mapped_column(String)
    action: Mapped[str] = mapped_column(String)
    about: Mapped[str] = mapped_column(String)
    outcome: Mapped[str] = mapped_column(String)
    details: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String)
    hash: Mapped[str] = mapped_column(String)
    key_id: Mapped[str] = mapped_column(String)
    signature: Mapped[str] = mapped_column(String)
