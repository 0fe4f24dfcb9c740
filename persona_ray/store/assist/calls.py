"""Assisted calls as far as they are settled: what any replica needs to go on with one.

No audio. A step of a call is settled in one transaction: where to go on, what the line and the
agent's devices are told, what was decided, what is pushed. So a replica that dies repeats a step or
has done it, and a suggestion stands in the log once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from persona_ray.store.assist.records import AssistCall, NewEvent, NewSuggestion
from persona_ray.store.assist.suggestions import log_suggestion
from persona_ray.store.assist.tables import AssistCallRow, AssistEventRow
from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.live_calls import (
    LiveCallExistsError,
    SupersededError,
    UnknownLiveCallError,
)

_UNSYNCHRONISED = {"synchronize_session": False}


class AssistCallRepository:
    """Calls by their agent and id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(
        self,
        agent_id: str,
        call_id: str,
        sound: Mapping[str, Any],
        scene: Mapping[str, Any],
        customer_id: str = "",
        seen: int | None = None,
        began: str = "",
    ) -> AssistCall:
        """Begin a call, or go on with it: whoever went on with it before is superseded.

        `seen` is the number of events that the client has; None: it begins. `began`: what devices
        are told of its beginning, once. One that has ended is given as it is. Raises
        LiveCallExistsError where it begins what is settled in part, UnknownLiveCallError where it
        goes on with what is not there.
        """
        now = self._database.now()
        with self._database.write() as session:
            row = _held(session, agent_id, call_id)
            if row is None:
                if seen:
                    raise UnknownLiveCallError(call_id)
                row = _new(agent_id, call_id, customer_id, now)
                session.add(row)
                session.flush()
                if began:
                    _tell(session, row, 0, NewEvent(began), now)
            if seen is None and (row.checkpoint or row.ended_at is not None):
                raise LiveCallExistsError(call_id)
            if row.ended_at is not None:
                return _record(row)
            if not row.checkpoint:
                # Nothing depends yet on what an earlier connection said.
                row.sound = dict(sound)
                row.scene = dict(scene)
            row.customer_id = row.customer_id or customer_id
            row.generation += 1
            row.alive_at = now
            return _record(row)

    def settle(
        self,
        call: AssistCall,
        checkpoint: Mapping[str, Any],
        before: int,
        events: Sequence[NewEvent] = (),
        suggestions: Sequence[NewSuggestion] = (),
        *,
        scene: Mapping[str, Any] | None = None,
        ended: bool = False,
    ) -> None:
        """Note that the call is settled up to `checkpoint`, with `events` after the `before` ones,
        numbered on, and what was decided meanwhile. All or nothing.

        `scene` None: as it was. Raises SupersededError where another connection goes on with the
        call, or it is gone.
        """
        now = self._database.now()
        with self._database.write_row() as session:
            row = _held(session, call.agent_id, call.call_id)
            mine = row is not None and row.generation == call.generation and row.events == before
            if row is None or not mine or row.ended_at is not None:
                raise SupersededError(call.call_id)
            for seq, event in enumerate(events, before + 1):
                _tell(session, row, seq, event, now)
            for suggestion in suggestions:
                log_suggestion(session, row, suggestion)
            # What it takes to go on is not needed any more once it has ended.
            row.checkpoint = {} if ended else dict(checkpoint)
            row.events = before + len(events)
            row.scene = row.scene if scene is None else dict(scene)
            row.alive_at = now
            row.ended_at = now if ended else None

    def scene(self, call: AssistCall) -> Mapping[str, Any]:
        """Where the call is, as whoever moved it last has it; as it began, where it is gone."""
        with self._database.read() as session:
            row = session.get(AssistCallRow, (call.agent_id, call.call_id))
            return dict(call.scene if row is None else row.scene)

    def move(self, agent_id: str, call_id: str, scene: Mapping[str, Any]) -> bool:
        """Note where a call is from now on; whether it still goes on. Raises
        UnknownLiveCallError."""
        with self._database.write() as session:
            row = _held(session, agent_id, call_id)
            if row is None:
                raise UnknownLiveCallError(call_id)
            if row.ended_at is None:
                row.scene = dict(scene)
            return row.ended_at is None

    def alive(self, call: AssistCall) -> None:
        """Note that a replica holds the call. Raises SupersededError as `settle` does."""
        mine = (*_of(call.agent_id, call.call_id), AssistCallRow.generation == call.generation)
        change = update(AssistCallRow).where(*mine).values(alive_at=self._database.now())
        with self._database.write_row() as session:
            if affected(session.execute(change)) == 0:
                raise SupersededError(call.call_id)

    def get(self, agent_id: str, call_id: str) -> AssistCall:
        """Raises UnknownLiveCallError."""
        with self._database.read() as session:
            row = session.get(AssistCallRow, (agent_id, call_id))
            if row is None:
                raise UnknownLiveCallError(call_id)
            return _record(row)

    def events(self, agent_id: str, call_id: str, after: int = 0) -> list[str]:
        """What a call's line was told after event `after`, in order."""
        event = AssistEventRow
        query = select(event.body).where(
            event.agent_id == agent_id, event.call_id == call_id, event.seq > after
        )
        with self._database.read() as session:
            return list(session.scalars(query.order_by(event.seq)))

    def of_agent(
        self, agent_id: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[AssistCall]:
        """An agent's calls, the latest first, those that began before `before` (time and id)."""
        row = AssistCallRow
        query = select(row).where(row.agent_id == agent_id)
        if before is not None:
            at, call_id = before
            earlier = (row.started_at == at) & (row.call_id < call_id)
            query = query.where((row.started_at < at) | earlier)
        query = query.order_by(row.started_at.desc(), row.call_id.desc()).limit(limit)
        with self._database.read() as session:
            return [_record(found) for found in session.scalars(query)]

    def abandoned(self, before: datetime, limit: int = 100) -> list[AssistCall]:
        """Calls that go on and that nobody has held since `before`."""
        row = AssistCallRow
        query = select(row).where(row.ended_at.is_(None), row.alive_at < before).limit(limit)
        with self._database.read() as session:
            return [_record(found) for found in session.scalars(query)]

    def claim_abandoned(self, call: AssistCall) -> AssistCall:
        """Take over a call that nobody holds. Raises SupersededError where somebody does."""
        now = self._database.now()
        with self._database.write() as session:
            row = _held(session, call.agent_id, call.call_id)
            if row is None or row.generation != call.generation or row.alive_at != call.alive_at:
                raise SupersededError(call.call_id)
            row.generation += 1
            row.alive_at = now
            return _record(row)

    def delete(self, agent_id: str, call_id: str) -> None:
        """With all that was said and decided. Raises UnknownLiveCallError. A connection that still
        goes on is superseded."""
        if not self._delete(*_of(agent_id, call_id)):
            raise UnknownLiveCallError(call_id)

    def forget_agent(self, agent_id: str) -> int:
        """Delete all calls of an agent; how many."""
        return self._delete(AssistCallRow.agent_id == agent_id)

    def expire(self, before: datetime) -> int:
        """Delete calls that ended before `before`; how many."""
        # Most of the time there are none, and no lock is needed to see that.
        with self._database.read() as session:
            old = select(AssistCallRow.call_id).where(AssistCallRow.ended_at < before).limit(1)
            if session.scalar(old) is None:
                return 0
        return self._delete(AssistCallRow.ended_at < before)

    def forget(self, session: Session, customer_id: str, call_ids: Collection[str]) -> int:
        """Delete a customer's calls within the caller's transaction; how many."""
        deleted = 0
        if customer_id:
            deleted += _delete_calls(session, AssistCallRow.customer_id == customer_id)
        for calls in chunks(sorted(call_ids)):
            deleted += _delete_calls(session, AssistCallRow.call_id.in_(calls))
        return deleted

    def _delete(self, *which: ColumnElement[bool]) -> int:
        with self._database.write() as session:
            deleted = _delete_calls(session, *which)
        self._database.flush_deleted()
        return deleted


def _held(session: Session, agent_id: str, call_id: str) -> AssistCallRow | None:
    """The call, which nobody else changes until the transaction is over."""
    return session.get(AssistCallRow, (agent_id, call_id), with_for_update=True)


def _delete_calls(session: Session, *which: ColumnElement[bool]) -> int:
    change = delete(AssistCallRow).where(*which)
    return affected(session.execute(change, execution_options=_UNSYNCHRONISED))


def _tell(session: Session, call: AssistCallRow, seq: int, event: NewEvent, now: datetime) -> None:
    session.add(
        AssistEventRow(
            agent_id=call.agent_id,
            call_id=call.call_id,
            seq=seq,
            body=event.body,
            at=now,
            push_id=event.push_id,
            expires_at=event.expires_at,
        )
    )


def _of(agent_id: str, call_id: str) -> tuple[ColumnElement[bool], ...]:
    return AssistCallRow.agent_id == agent_id, AssistCallRow.call_id == call_id


def _new(agent_id: str, call_id: str, customer_id: str, now: datetime) -> AssistCallRow:
    return AssistCallRow(
        agent_id=agent_id,
        call_id=call_id,
        customer_id=customer_id,
        scene={},
        sound={},
        generation=0,
        checkpoint={},
        events=0,
        started_at=now,
        alive_at=now,
        ended_at=None,
        outcome="",
        outcome_at=None,
    )


def _record(row: AssistCallRow) -> AssistCall:
    return AssistCall(
        agent_id=row.agent_id,
        call_id=row.call_id,
        customer_id=row.customer_id,
        scene=dict(row.scene),
        sound=dict(row.sound),
        generation=row.generation,
        checkpoint=dict(row.checkpoint),
        events=row.events,
        started_at=row.started_at,
        alive_at=row.alive_at,
        ended_at=row.ended_at,
        outcome=row.outcome,
        outcome_at=row.outcome_at,
    )
