"""What was seen of a challenger beside a champion, and whether it was taken back.

Every ingress replica adds what it saw and learns what all have seen. The decision falls inside the
same exclusive transaction, so that all replicas look at one growing sequence of observations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected
from persona_ray.store.service_tables import RolloutRow

Counts = Mapping[str, float]
# Why the challenger is taken back, given all counts; empty: it is not.
Decide = Callable[[Counts], str]


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """Of one challenger beside one champion, both as NAME/VERSION.

    `reason` and `decided_at` are those of the roll-back; an empty reason: there was none.
    """

    champion: str
    challenger: str
    counts: Counts
    started_at: datetime
    reason: str = ""
    decided_at: datetime | None = None


class RolloutRepository:
    """One row for each pair of models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, champion: str, challenger: str, seen: Counts, decide: Decide) -> RolloutRecord:
        """Add `seen` to the pair's counts; decide, unless it is decided already.

        A challenger that was taken back beside another champion stays taken back: its record's
        reason is that one's.
        """
        with self._database.write() as session:
            row = session.get(RolloutRow, (champion, challenger))
            now = datetime.now(UTC)
            if row is None:
                row = RolloutRow(
                    champion=champion, challenger=challenger, counts={}, started_at=now, reason=""
                )
                session.add(row)
            row.counts = {
                name: row.counts.get(name, 0) + seen.get(name, 0)
                for name in sorted(row.counts.keys() | seen.keys())
            }
            before = _taken_back(session, challenger)
            if before is None and (reason := decide(row.counts)):
                row.reason, row.decided_at = reason, now
                before = row
            return _record(row, before)

    def restart(self, challenger: str) -> int:
        """Forget what was seen of the challenger and that it was taken back; rows deleted."""
        with self._database.write() as session:
            return affected(
                session.execute(delete(RolloutRow).where(RolloutRow.challenger == challenger))
            )


def _taken_back(session: Session, challenger: str) -> RolloutRow | None:
    query = select(RolloutRow).where(
        RolloutRow.challenger == challenger, RolloutRow.decided_at.is_not(None)
    )
    return session.scalars(query.order_by(RolloutRow.decided_at).limit(1)).first()


def _record(row: RolloutRow, decided: RolloutRow | None) -> RolloutRecord:
    return RolloutRecord(
        champion=row.champion,
        challenger=row.challenger,
        counts=dict(row.counts),
        started_at=row.started_at,
        reason="" if decided is None else decided.reason,
        decided_at=None if decided is None else decided.decided_at,
    )
