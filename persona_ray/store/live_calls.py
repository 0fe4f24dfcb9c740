"""Live calls as far as they are settled: what any replica needs to go on with one.

No audio. Texts of sentences are here for as long as a call may be gone on with, and no longer
(`expire`); they go with their customer (`Store.forget_customer`) or their call (`delete`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.service_tables import LiveCallRow, LiveResultRow


class UnknownLiveCallError(LookupError):
    """There is no such call, or it was too long ago."""


class LiveCallExistsError(LookupError):
    """The call has begun already."""


class SupersededError(LookupError):
    """Another connection goes on with the call."""


@dataclass(frozen=True, slots=True)
class LiveCallRecord:
    """One live call. `checkpoint` is empty before anything is settled; `sound` is what its frames
    hold; `results` are so many."""

    owner: str
    call_id: str
    customer_id: str
    generation: int
    sound: Mapping[str, Any]
    checkpoint: Mapping[str, Any]
    results: int
    ended: bool


class LiveCallRepository:
    """Calls by the name of the key that began them, and their id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(
        self,
        owner: str,
        call_id: str,
        sound: Mapping[str, Any],
        customer_id: str = "",
        seen: int | None = None,
    ) -> LiveCallRecord:
        """Begin a call, or go on with it: whoever went on with it before is superseded.

        `seen` is the number of results that the client has; None: it begins. Raises
        LiveCallExistsError where it begins what is settled in part, UnknownLiveCallError where it
        has seen results of a call that is not there.
        """
        now = self._database.now()
        with self._database.write() as session:
            # A step under way is waited for.
            row = session.get(LiveCallRow, (owner, call_id), with_for_update=True)
            if row is not None and seen is None and row.checkpoint:
                raise LiveCallExistsError(call_id)
            if row is None and seen:
                raise UnknownLiveCallError(call_id)
            if row is None:
                row = LiveCallRow(
                    owner=owner,
                    call_id=call_id,
                    customer_id=customer_id,
                    generation=0,
                    sound=dict(sound),
                    checkpoint={},
                    results=0,
                    ended=False,
                    changed_at=now,
                )
                session.add(row)
            if not row.checkpoint:
                # Nothing depends yet on what an earlier connection said.
                row.sound = dict(sound)
            row.customer_id = row.customer_id or customer_id
            row.generation += 1
            row.changed_at = now
            return _record(row)

    def settle(
        self,
        call: LiveCallRecord,
        checkpoint: Mapping[str, Any],
        before: int,
        bodies: Sequence[str] = (),
        ended: bool = False,
    ) -> None:
        """Note that the call is settled up to `checkpoint`, with `bodies` as its next results.

        All or nothing. `before`: the number of results until now. Raises SupersededError where
        another connection went on with the call, or where it is gone.
        """
        mine = (LiveCallRow.owner == call.owner, LiveCallRow.call_id == call.call_id)
        now = self._database.now()
        with self._database.write_row() as session:
            change = (
                update(LiveCallRow)
                .where(
                    *mine,
                    LiveCallRow.generation == call.generation,
                    LiveCallRow.results == before,
                )
                .values(
                    checkpoint=dict(checkpoint),
                    results=before + len(bodies),
                    ended=ended,
                    changed_at=now,
                )
            )
            if affected(session.execute(change)) == 0:
                raise SupersededError(call.call_id)
            if bodies:
                rows = [
                    {"owner": call.owner, "call_id": call.call_id, "number": number, "body": body}
                    for number, body in enumerate(bodies, before + 1)
                ]
                session.execute(insert(LiveResultRow), rows)

    def get(self, owner: str, call_id: str) -> LiveCallRecord:
        """Raises UnknownLiveCallError."""
        with self._database.read() as session:
            row = session.get(LiveCallRow, (owner, call_id))
            if row is None:
                raise UnknownLiveCallError(call_id)
            return _record(row)

    def results(self, owner: str, call_id: str) -> list[str]:
        """All that are settled, in order."""
        query = select(LiveResultRow.body).where(
            LiveResultRow.owner == owner, LiveResultRow.call_id == call_id
        )
        with self._database.read() as session:
            return list(session.scalars(query.order_by(LiveResultRow.number)))

    def delete(self, owner: str, call_id: str) -> None:
        """Raises UnknownLiveCallError. A connection that still goes on is superseded."""
        mine = delete(LiveCallRow).where(LiveCallRow.owner == owner, LiveCallRow.call_id == call_id)
        with self._database.write() as session:
            if affected(session.execute(mine)) == 0:
                raise UnknownLiveCallError(call_id)
        self._database.flush_deleted()

    def expire(self, before: datetime) -> int:
        """Delete calls in which nothing was settled since `before`; how many."""
        # Most of the time there are none, and no lock is needed to see that.
        with self._database.read() as session:
            old = select(LiveCallRow.call_id).where(LiveCallRow.changed_at < before).limit(1)
            if session.scalar(old) is None:
                return 0
        with self._database.write() as session:
            deleted = affected(
                session.execute(delete(LiveCallRow).where(LiveCallRow.changed_at < before))
            )
        self._database.flush_deleted()
        return deleted

    def forget(self, session: Session, customer_id: str, call_ids: Collection[str]) -> int:
        """Delete a customer's live calls within the caller's transaction."""
        mine = delete(LiveCallRow).where(LiveCallRow.customer_id == customer_id)
        deleted = affected(session.execute(mine)) if customer_id else 0
        for calls in chunks(sorted(call_ids)):
            by_call = delete(LiveCallRow).where(LiveCallRow.call_id.in_(calls))
            deleted += affected(session.execute(by_call))
        return deleted


def _record(row: LiveCallRow) -> LiveCallRecord:
    return LiveCallRecord(
        owner=row.owner,
        call_id=row.call_id,
        customer_id=row.customer_id,
        generation=row.generation,
        sound=dict(row.sound),
        checkpoint=dict(row.checkpoint),
        results=row.results,
        ended=row.ended,
    )
