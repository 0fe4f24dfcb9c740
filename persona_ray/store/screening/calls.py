"""Screened calls: as far as they are settled while they go on, their verdict afterwards.

Sound lies in files; `recording` says where, in the workspace. Whatever deletes rows gives those
places back, so that their files go too. All of a call goes with its user's calls, with those of its
caller's number, by itself and after its time. A person is forgotten in `screening.forgetting`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_, update
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.screening.call_records import (
    CallEndedError,
    CallExistsError,
    CallSupersededError,
    Deleted,
    NewCall,
    ScreenedCall,
    StoredVerdict,
    UnknownCallError,
)
from persona_ray.store.screening.call_tables import ScreenedCallRow, ScreeningSettingsRow
from persona_ray.store.screening.notices import notify
from persona_ray.store.screening.tables import ReportRow

_UNSYNCHRONISED = {"synchronize_session": False}

# How long after the end of a call its event may come once more.
_SENT_AGAIN = timedelta(minutes=10)


class ScreenedCallRepository:
    """Calls by whom they were for, and their id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hand_over(self, call: NewCall) -> tuple[ScreenedCall, bool]:
        """Keep a call; whether it is new. The same one may come again, as it was.

        Raises CallExistsError where the id is that of another caller's, or of a call that was over
        long ago: its answer is none for a new call.
        """
        now = self._database.now()
        with self._database.write() as session:
            row = session.get(ScreenedCallRow, (call.user_id, call.call_id))
            if row is not None:
                over = row.ended_at is not None and row.ended_at < now - _SENT_AGAIN
                if over or (row.number, row.channel) != (call.number, call.channel):
                    raise CallExistsError(call.call_id)
                return _record(row), False
            row = ScreenedCallRow(
                user_id=call.user_id,
                call_id=call.call_id,
                ref=secrets.token_urlsafe(16),
                number=call.number,
                channel=call.channel,
                at=call.at,
                decision=call.decision,
                source=dict(call.source),
                generation=0,
                sound={},
                checkpoint={},
                events=[],
                answer="",
                outcome="",
                standing="",
                category="",
                verdict=None,
                recording="",
                alive_at=now,
                ended_at=None,
            )
            session.add(row)
            return _record(row), True

    def open(
        self, user_id: str, call_id: str, sound: Mapping[str, Any], seen: int | None
    ) -> ScreenedCall:
        """Begin to hear a call, or go on with it: whoever did before is superseded.

        `seen` is the number of events that the client has; None: it begins. One that has ended is
        given as it is. Raises UnknownCallError, and CallExistsError where it begins what is settled
        in part.
        """
        now = self._database.now()
        with self._database.write() as session:
            row = _get(session, user_id, call_id, held=True)
            if row.verdict is not None:
                return _record(row)
            if seen is None and row.checkpoint:
                raise CallExistsError(call_id)
            if not row.checkpoint:
                # Nothing depends yet on what an earlier connection said.
                row.sound = dict(sound)
            row.generation += 1
            row.alive_at = now
            return _record(row)

    def settle(
        self, call: ScreenedCall, checkpoint: Mapping[str, Any], before: int, events: Sequence[str]
    ) -> None:
        """Note that the call is settled up to `checkpoint`, with `events` after the `before` ones.

        Raises CallSupersededError where it is another connection's, or gone.
        """
        now = self._database.now()
        with self._database.write_row() as session:
            row = _held(session, call)
            if row is None or row.generation != call.generation or len(row.events) != before:
                raise CallSupersededError(call.call_id)
            row.checkpoint = dict(checkpoint)
            row.events = [*row.events, *events]
            row.alive_at = now

    def alive(self, call: ScreenedCall) -> str:
        """Note that a replica holds the call; the user's answer, empty where there is none yet.

        Raises CallSupersededError as `settle` does.
        """
        mine = (*_of(call.user_id, call.call_id), ScreenedCallRow.generation == call.generation)
        change = update(ScreenedCallRow).where(*mine).values(alive_at=self._database.now())
        with self._database.write_row() as session:
            if affected(session.execute(change)) == 0:
                raise CallSupersededError(call.call_id)
            return str(session.scalar(select(ScreenedCallRow.answer).where(*mine)))

    def answer_of(self, user_id: str, call_id: str) -> str:
        """The user's answer, empty where there is none yet. Raises UnknownCallError."""
        with self._database.read() as session:
            query = select(ScreenedCallRow.answer).where(*_of(user_id, call_id))
            found = session.scalar(query)
        if found is None:
            raise UnknownCallError(call_id)
        return found

    def answer(self, user_id: str, call_id: str, answer: str) -> ScreenedCall:
        """What the user wants with a call that goes on; the first answer counts.

        Raises UnknownCallError, CallEndedError.
        """
        with self._database.write() as session:
            row = _get(session, user_id, call_id, held=True)
            if row.verdict is not None:
                raise CallEndedError(call_id)
            row.answer = row.answer or answer
            return _record(row)

    def recorded(self, call: ScreenedCall, recording: str) -> None:
        """Where the sound of a call lies. Raises CallSupersededError where the call is gone."""
        change = update(ScreenedCallRow).where(*_of(call.user_id, call.call_id))
        with self._database.write() as session:
            if affected(session.execute(change.values(recording=recording))) == 0:
                raise CallSupersededError(call.call_id)

    def conclude(
        self, call: ScreenedCall, verdict: StoredVerdict, events: Sequence[str] = ()
    ) -> int | None:
        """End the call with its one verdict, and give the user notice of it: the notice's number.

        None where the call had ended before. Raises CallSupersededError where another connection
        goes on with it, or it is gone.
        """
        now = self._database.now()
        with self._database.write() as session:
            row = _held(session, call)
            if row is None or row.generation != call.generation:
                raise CallSupersededError(call.call_id)
            if row.verdict is not None:
                return None
            row.outcome = verdict.outcome
            row.standing = verdict.standing
            row.category = verdict.category
            row.verdict = dict(verdict.body)
            row.events = [*row.events, *events]
            # What it takes to go on is not needed any more.
            row.checkpoint = {}
            row.ended_at = now
            return notify(session, row, "verdict", verdict.notice, verdict.webhooks)

    def notify(self, call: ScreenedCall, kind: str, notice: Mapping[str, Any]) -> int:
        """Tell the user of a call that goes on; the notice's number. Raises UnknownCallError."""
        with self._database.write() as session:
            row = _get(session, call.user_id, call.call_id)
            return notify(session, row, kind, notice)

    def get(self, user_id: str, call_id: str) -> ScreenedCall:
        """Raises UnknownCallError."""
        with self._database.read() as session:
            return _record(_get(session, user_id, call_id))

    def by_ref(self, ref: str) -> ScreenedCall:
        """The call of a signed link. Raises UnknownCallError."""
        with self._database.read() as session:
            row = session.scalar(select(ScreenedCallRow).where(ScreenedCallRow.ref == ref))
            if row is None:
                raise UnknownCallError(ref)
            return _record(row)

    def inbox(
        self,
        user_id: str,
        limit: int,
        before: tuple[datetime, str] | None = None,
        category: str = "",
        standing: str = "",
    ) -> list[ScreenedCall]:
        """A user's calls, the latest first, those that came before `before` (time and id)."""
        query = select(ScreenedCallRow).where(ScreenedCallRow.user_id == user_id)
        if before is not None:
            query = query.where(_earlier(*before))
        if category:
            query = query.where(ScreenedCallRow.category == category)
        if standing:
            query = query.where(ScreenedCallRow.standing == standing)
        query = query.order_by(ScreenedCallRow.at.desc(), ScreenedCallRow.call_id.desc())
        with self._database.read() as session:
            return [_record(row) for row in session.scalars(query.limit(limit))]

    def abandoned(self, before: datetime, limit: int = 100) -> list[ScreenedCall]:
        """Calls that go on and that nobody has held since `before`."""
        query = (
            select(ScreenedCallRow)
            .where(ScreenedCallRow.ended_at.is_(None), ScreenedCallRow.alive_at < before)
            .limit(limit)
        )
        with self._database.read() as session:
            return [_record(row) for row in session.scalars(query)]

    def claim_abandoned(self, call: ScreenedCall) -> ScreenedCall:
        """Take over a call that nobody holds. Raises CallSupersededError where somebody does."""
        now = self._database.now()
        with self._database.write() as session:
            row = _held(session, call)
            if row is None or row.generation != call.generation or row.alive_at != call.alive_at:
                raise CallSupersededError(call.call_id)
            row.generation += 1
            row.alive_at = now
            return _record(row)

    def delete(self, user_id: str, call_id: str) -> Deleted:
        """Raises UnknownCallError. A connection that still goes on is superseded."""
        deleted = self._delete(*_of(user_id, call_id))
        if not deleted.calls:
            raise UnknownCallError(call_id)
        return deleted

    def delete_of_user(self, user_id: str) -> Deleted:
        """Delete all calls for a user, with notices and corrections, and the user's settings."""
        deleted = self._delete(ScreenedCallRow.user_id == user_id)
        with self._database.write() as session:
            session.execute(
                delete(ScreeningSettingsRow).where(ScreeningSettingsRow.user_id == user_id)
            )
        self._database.flush_deleted()
        return deleted

    def delete_of_number(self, number: str) -> Deleted:
        """Delete all calls that a number made, whomever they were for."""
        return self._delete(ScreenedCallRow.number == number)

    def expire(self, before: datetime) -> Deleted:
        """Delete calls that ended before `before`."""
        # Most of the time there are none, and no lock is needed to see that.
        with self._database.read() as session:
            old = select(ScreenedCallRow.ref).where(ScreenedCallRow.ended_at < before).limit(1)
            if session.scalar(old) is None:
                return Deleted()
        return self._delete(ScreenedCallRow.ended_at < before)

    def _delete(self, *which: ColumnElement[bool]) -> Deleted:
        with self._database.write() as session:
            deleted = delete_calls(session, *which)
        self._database.flush_deleted()
        return deleted


def delete_calls(session: Session, *which: ColumnElement[bool]) -> Deleted:
    """Delete calls with their notices and corrections, in the caller's transaction. Reports that
    were made of them stay, and name no call any more."""
    row, report = ScreenedCallRow, ReportRow
    query = select(row.user_id, row.call_id, row.recording).where(*which)
    gone = session.execute(query.order_by(row.user_id, row.call_id)).tuples().all()
    names = tuple((user_id, call_id) for user_id, call_id, _ in gone)
    for some in chunks(names):
        of_them = update(report).where(tuple_(report.reporter, report.call_id).in_(some))
        session.execute(of_them.values(call_id=""), execution_options=_UNSYNCHRONISED)
    session.execute(delete(row).where(*which), execution_options=_UNSYNCHRONISED)
    return Deleted(names, tuple(place for *_, place in gone if place))


def _of(user_id: str, call_id: str) -> tuple[ColumnElement[bool], ...]:
    return ScreenedCallRow.user_id == user_id, ScreenedCallRow.call_id == call_id


def _earlier(at: datetime, call_id: str) -> ColumnElement[bool]:
    return (ScreenedCallRow.at < at) | (
        (ScreenedCallRow.at == at) & (ScreenedCallRow.call_id < call_id)
    )


def _held(session: Session, call: ScreenedCall) -> ScreenedCallRow | None:
    """The call, which nobody else changes until the transaction is over."""
    return session.get(ScreenedCallRow, (call.user_id, call.call_id), with_for_update=True)


def _get(session: Session, user_id: str, call_id: str, held: bool = False) -> ScreenedCallRow:
    row = session.get(ScreenedCallRow, (user_id, call_id), with_for_update=held)
    if row is None:
        raise UnknownCallError(call_id)
    return row


def _record(row: ScreenedCallRow) -> ScreenedCall:
    return ScreenedCall(
        user_id=row.user_id,
        call_id=row.call_id,
        ref=row.ref,
        number=row.number,
        channel=row.channel,
        at=row.at,
        decision=row.decision,
        source=dict(row.source),
        generation=row.generation,
        sound=dict(row.sound),
        checkpoint=dict(row.checkpoint),
        events=tuple(row.events),
        answer=row.answer,
        outcome=row.outcome,
        standing=row.standing,
        category=row.category,
        verdict=None if row.verdict is None else dict(row.verdict),
        recording=row.recording,
        alive_at=row.alive_at,
        ended_at=row.ended_at,
    )
