"""How far pushes have come, and what an agent's devices are told.

A notice is an event of a call: it is there for as long as its call is, and told for as long as it
is worth something. Whoever listens names the last notice it has and gets those after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from persona_ray.store.assist.records import (
    CUSTOMER,
    DEVICE,
    AgentNotice,
    CustomerPush,
    Push,
    PushState,
    UnknownPushError,
)
from persona_ray.store.assist.tables import AssistCallRow, AssistEventRow, AssistPushRow
from persona_ray.store.database import Database, affected

_ROW = AssistPushRow
# States that a push comes to from which.
_BEFORE: Mapping[PushState, frozenset[PushState]] = {
    PushState.SENT: frozenset({PushState.MADE}),
    PushState.SEEN: frozenset({PushState.MADE, PushState.SENT}),
    PushState.LATE: frozenset({PushState.MADE}),
    PushState.FAILED: frozenset({PushState.MADE, PushState.SENT}),
}


class PushRepository:
    """Pushes by their id, notices by agent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, push_id: str) -> Push:
        """Raises UnknownPushError."""
        with self._database.read() as session:
            row = session.get(AssistPushRow, push_id)
            if row is None:
                raise UnknownPushError(push_id)
            return _record(row)

    def of_call(self, agent_id: str, call_id: str) -> list[Push]:
        """In the order of the call."""
        query = select(_ROW).where(_ROW.agent_id == agent_id, _ROW.call_id == call_id)
        with self._database.read() as session:
            return [_record(row) for row in session.scalars(query.order_by(_ROW.turn))]

    def comes_to(
        self, push_id: str, state: PushState, now: datetime, channel: str = DEVICE
    ) -> bool:
        """Note that a push of `channel` was sent, seen, dropped as late or failed; whether that is
        new. What cannot follow, such as late after sent, changes nothing."""
        values: dict[str, Any] = {"state": state, f"{state}_at": now}
        if state is PushState.SEEN:
            values["sent_at"] = func.coalesce(_ROW.sent_at, now)
        before = _ROW.state.in_(_BEFORE[state])
        mine = (_ROW.push_id == push_id, _ROW.channel == channel, before)
        with self._database.write() as session:
            return affected(session.execute(update(_ROW).where(*mine).values(**values))) > 0

    def for_customers(self, now: datetime, limit: int = 100) -> list[CustomerPush]:
        """Those that wait to be sent to a customer and are still worth it, in order."""
        event, call = AssistEventRow, AssistCallRow
        query = (
            select(_ROW, call.customer_id, event.body)
            .join(call, (call.agent_id == _ROW.agent_id) & (call.call_id == _ROW.call_id))
            .join(event, (event.agent_id == _ROW.agent_id) & (event.push_id == _ROW.push_id))
            .where(_ROW.state == PushState.MADE, _ROW.channel == CUSTOMER, _ROW.expires_at > now)
            .order_by(_ROW.made_at)
            .limit(limit)
        )
        with self._database.read() as session:
            found = session.execute(query).tuples()
            return [CustomerPush(_record(row), whose, body) for row, whose, body in found]

    def drop_late(self, before: datetime) -> int:
        """Drop what nobody was sent and expired before `before`; how many."""
        late = (_ROW.state == PushState.MADE, _ROW.expires_at < before)
        # Most of the time there are none, and no lock is needed to see that.
        with self._database.read() as session:
            if session.scalar(select(_ROW.push_id).where(*late).limit(1)) is None:
                return 0
        change = update(_ROW).where(*late).values(state=PushState.LATE, late_at=before)
        with self._database.write() as session:
            return affected(session.execute(change))

    def counts(self, since: datetime) -> dict[PushState, int]:
        """How many pushes made since then came how far."""
        query = select(_ROW.state, func.count()).where(_ROW.made_at >= since).group_by(_ROW.state)
        with self._database.read() as session:
            return {PushState(state): count for state, count in session.execute(query).tuples()}

    def notices(
        self, agent_id: str, after: int, since: datetime, limit: int = 100
    ) -> list[AgentNotice]:
        """An agent's notices behind number `after` that are not older than `since`, in order."""
        event = AssistEventRow
        query = (
            select(event)
            .where(event.agent_id == agent_id, event.id > after, event.at >= since)
            .order_by(event.id)
            .limit(limit)
        )
        with self._database.read() as session:
            return [_notice(row) for row in session.scalars(query)]

    def last_notice(self, agent_id: str) -> int:
        """Number of an agent's last notice, 0 where there is none."""
        query = select(func.max(AssistEventRow.id)).where(AssistEventRow.agent_id == agent_id)
        with self._database.read() as session:
            return session.scalar(query) or 0

    def newest(self) -> int:
        """Number of the last notice of all, 0 where there is none."""
        with self._database.read() as session:
            return session.scalar(select(func.max(AssistEventRow.id))) or 0

    def news(self, after: int) -> tuple[int, frozenset[str]]:
        """The last notice's number, and whose notices are behind number `after`."""
        event = AssistEventRow
        query = (
            select(event.agent_id, func.max(event.id))
            .where(event.id > after)
            .group_by(event.agent_id)
        )
        with self._database.read() as session:
            found = session.execute(query).tuples().all()
        last = max((number for _, number in found), default=after)
        return last, frozenset(agent_id for agent_id, _ in found)


def _notice(row: AssistEventRow) -> AgentNotice:
    return AgentNotice(row.id, row.call_id, row.seq, row.body, row.at, row.push_id, row.expires_at)


def _record(row: AssistPushRow) -> Push:
    return Push(
        push_id=row.push_id,
        agent_id=row.agent_id,
        call_id=row.call_id,
        turn=row.turn,
        channel=row.channel,
        scripts=tuple(row.scripts),
        state=PushState(row.state),
        made_at=row.made_at,
        expires_at=row.expires_at,
        sent_at=row.sent_at,
        seen_at=row.seen_at,
        late_at=row.late_at,
        failed_at=row.failed_at,
    )
