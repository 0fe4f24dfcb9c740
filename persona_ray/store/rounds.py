"""What comes round now and then, whichever replica does it: one at a time, by a lease."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, mapped_column

from persona_ray.store.database import Database
from persona_ray.store.tables import Base, UtcDateTime


class RoundRow(Base):
    """`due_at`: when `name` is to be done again, or may be taken over from `holder`."""

    __tablename__ = "rounds"

    name: Mapped[str] = mapped_column(String, primary_key=True)
    holder: Mapped[str] = mapped_column(String)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RoundRepository:
    """Rounds by their name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, holder: str, now: datetime, every: timedelta) -> bool:
        """Whether `holder` is to do it now: it is due, and is not again before `every` is over.
        One that fails says so by `give_back`."""
        # Most of the time it is not due, and no lock is needed to see that.
        with self._database.read() as session:
            due_at = session.scalar(select(RoundRow.due_at).where(RoundRow.name == name))
            if due_at is not None and due_at > now:
                return False
        with self._database.write() as session:
            row = session.get(RoundRow, name)
            if row is None:
                session.add(RoundRow(name=name, holder=holder, due_at=now + every))
                return True
            if row.due_at > now:
                return False
            row.holder, row.due_at = holder, now + every
            return True

    def give_back(self, name: str, holder: str, due_at: datetime) -> None:
        """It was not done: somebody may try again at `due_at`."""
        with self._database.write() as session:
            row = session.get(RoundRow, name)
            if row is not None and row.holder == holder:
                row.due_at = due_at
