"""The sets of numbers: the shared ones and each user's own, with their history.

Every change of an entry goes into its history and into the log of changes in one transaction. An
entry of a person (operator, user, correction) never gives way to an automatic one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, insert, select
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected
from persona_ray.store.screening.changes import (
    NUMBERS,
    SHARED,
    ChangeRepository,
    NewChange,
    What,
)
from persona_ray.store.screening.records import (
    AUTOMATIC,
    Action,
    HistoryItem,
    Judgement,
    Listed,
    NumberEntry,
    lasts,
    rank,
)
from persona_ray.store.screening.tables import NumberHistoryRow, NumberRow, lasting

_TIMES = ("expires_at", "listed_at", "changed_at")
_BATCH = 500
_RENEWAL = timedelta(days=1)


class NumberRepository:
    """Numbers by owner and number. Implements ReportedSet for the shared sets."""

    def __init__(self, database: Database, changes: ChangeRepository) -> None:
        self._database = database
        self._changes = changes

    def look_up(self, number: str, user: str, now: datetime) -> NumberEntry | None:
        """The user's own entry, else the shared one; None where neither stands now. What a machine
        put into the user's own set is behind what an operator said for all."""
        query = select(NumberRow).where(
            NumberRow.number == number,
            NumberRow.owner.in_([user, SHARED]),
            lasting(NumberRow.expires_at, now),
        )
        with self._database.read() as session:
            found = [_entry(row) for row in session.scalars(query)]

        def first(entry: NumberEntry) -> tuple[bool, bool]:
            return entry.origin not in AUTOMATIC, entry.owner == user

        return max(found, key=first, default=None)

    def entry(self, owner: str, number: str, now: datetime) -> NumberEntry | None:
        """What stands in the set of `owner` now, whatever stands in others."""
        query = select(NumberRow).where(NumberRow.owner == owner, NumberRow.number == number)
        with self._database.read() as session:
            row = session.scalar(query.where(lasting(NumberRow.expires_at, now)))
            return None if row is None else _entry(row)

    def page(
        self, owner: str, now: datetime, after: str = "", limit: int = 100, standing: str = ""
    ) -> list[NumberEntry]:
        """Entries of one owner that stand now, behind number `after`, in their order."""
        query = select(NumberRow).where(
            NumberRow.owner == owner, NumberRow.number > after, lasting(NumberRow.expires_at, now)
        )
        if standing:
            query = query.where(NumberRow.standing == standing)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(NumberRow.number).limit(limit))
            return [_entry(row) for row in rows]

    def put(self, entry: NumberEntry, actor: str, now: datetime) -> NumberEntry:
        """Put an entry in; what stands afterwards: another one, where it is above this one."""
        with self._database.write() as session:
            return self.enter(session, entry, actor, now)

    def enter(self, session: Session, entry: NumberEntry, actor: str, now: datetime) -> NumberEntry:
        """As `put`, in the caller's transaction."""
        row = session.get(NumberRow, (entry.owner, entry.number))
        if row is not None and not lasts(row.expires_at, now):
            self._drop(session, row, "expiry", Action.EXPIRED, "its time was over", now)
            row = None
        if row is not None and rank(row.origin) > rank(entry.origin):
            return _entry(row)
        return self._write(session, row, entry, actor, None, now)

    def remove(self, owner: str, number: str, actor: str, reason: str, now: datetime) -> bool:
        """Take an entry out; False where there was none."""
        with self._database.write() as session:
            return self._take(session, owner, number, actor, reason, now)

    def expire(self, now: datetime) -> int:
        """Take out what has expired, with history; how many. Look-ups leave it out by themselves:
        this is for the devices and for those who read the table."""
        expired = 0
        query = select(NumberRow).where(NumberRow.expires_at <= now).limit(_BATCH)
        while True:
            with self._database.write() as session:
                rows = session.scalars(query).all()
                for row in rows:
                    self._drop(session, row, "expiry", Action.EXPIRED, "its time was over", now)
            expired += len(rows)
            if len(rows) < _BATCH:
                return expired

    def roll_back(
        self,
        session: Session,
        since: datetime,
        actor: str,
        reason: str,
        now: datetime,
        origins: Collection[str] = AUTOMATIC,
    ) -> list[str]:
        """Make shared automatic entries what they were before `since`, in the caller's
        transaction; the numbers that this concerned.

        Entries that stand now by one of `origins` and were changed since are put back to what
        stood then, or taken out where that was nothing, has expired, or a person has taken it out
        meanwhile. Raises ValueError for origins that are not automatic.
        """
        if not set(origins) <= AUTOMATIC:
            raise ValueError(f"{sorted(origins)}: only {sorted(AUTOMATIC)} are rolled back")
        query = select(NumberRow).where(
            NumberRow.owner == SHARED, NumberRow.origin.in_(origins), NumberRow.changed_at >= since
        )
        rows = session.scalars(query).all()
        numbers = [row.number for row in rows]
        for row in rows:
            before = _before(session, row, since)
            if before is None or not lasts(before.expires_at, now):
                self._drop(session, row, actor, Action.ROLLED_BACK, reason, now)
            else:
                self._write(session, row, before, actor, Action.ROLLED_BACK, now, reason)
        return numbers

    def history(self, owner: str, number: str) -> list[HistoryItem]:
        """What was done to an entry, oldest first."""
        query = _history(owner, number).order_by(NumberHistoryRow.id)
        with self._database.read() as session:
            return [
                HistoryItem(row.at, row.actor, Action(row.action), row.reason, row.entry)
                for row in session.scalars(query)
            ]

    def forget_number(self, session: Session, number: str, now: datetime) -> int:
        """Delete a number from all sets, histories and the log, in the caller's transaction; rows
        deleted. Devices are told to remove it."""
        rows = 0
        for table in (NumberRow, NumberHistoryRow):
            rows += affected(session.execute(delete(table).where(table.number == number)))
        return rows + self._changes.forget(session, NUMBERS, number, now)

    def forget_owner(self, session: Session, owner: str) -> int:
        """Delete a user's own sets with their history, in the caller's transaction; rows deleted.
        Raises ValueError for the shared sets."""
        if owner == SHARED:
            raise ValueError("the shared sets have no owner that could be forgotten")
        rows = 0
        for table in (NumberRow, NumberHistoryRow):
            rows += affected(session.execute(delete(table).where(table.owner == owner)))
        return rows + self._changes.forget_owner(session, owner)

    def listed(self, session: Session, key: str, now: datetime) -> Listed | None:
        """See ReportedSet."""
        row = session.get(NumberRow, (SHARED, key))
        if row is None or not lasts(row.expires_at, now):
            return None
        return Listed(row.origin, row.standing, row.category, row.listed_at, row.expires_at)

    def enlist(self, session: Session, key: str, judgement: Judgement, now: datetime) -> None:
        """See ReportedSet."""
        before = self.listed(session, key, now)
        if before is not None and _renews_little(before, judgement):
            return
        entry = NumberEntry(
            number=key,
            standing=judgement.standing,
            category=judgement.category,
            origin="reports",
            reason=judgement.reason,
            expires_at=judgement.expires_at,
        )
        self.enter(session, entry, "reports", now)

    def delist(self, session: Session, key: str, actor: str, reason: str, now: datetime) -> None:
        """See ReportedSet."""
        self._take(session, SHARED, key, actor, reason, now)

    def _take(
        self, session: Session, owner: str, number: str, actor: str, reason: str, now: datetime
    ) -> bool:
        row = session.get(NumberRow, (owner, number))
        if row is not None:
            self._drop(session, row, actor, Action.REMOVED, reason, now)
        return row is not None

    def _write(
        self,
        session: Session,
        row: NumberRow | None,
        entry: NumberEntry,
        actor: str,
        action: Action | None,
        now: datetime,
        reason: str = "",
    ) -> NumberEntry:
        listed_at = now if row is None or row.origin != entry.origin else row.listed_at
        entry = replace(entry, listed_at=listed_at, changed_at=now)
        told = row is None or _entry(row).payload() != entry.payload()
        if row is None:
            session.add(NumberRow(**asdict(entry)))
        else:
            for name, value in asdict(entry).items():
                setattr(row, name, value)
        if told:
            done = action or (Action.ADDED if row is None else Action.CHANGED)
            what = What.ADDED if row is None else What.CHANGED
            self._note(session, entry, actor, done, reason or entry.reason, now, gone=False)
            change = NewChange(entry.number, what, entry.payload())
            self._changes.append(session, NUMBERS, [change], now, entry.owner)
        session.flush()
        return entry

    def _drop(
        self,
        session: Session,
        row: NumberRow,
        actor: str,
        action: Action,
        reason: str,
        now: datetime,
    ) -> None:
        entry = _entry(row)
        session.delete(row)
        session.flush()
        self._note(session, entry, actor, action, reason, now, gone=True)
        change = NewChange(entry.number, What.REMOVED, None)
        self._changes.append(session, NUMBERS, [change], now, entry.owner)

    def _note(
        self,
        session: Session,
        entry: NumberEntry,
        actor: str,
        action: Action,
        reason: str,
        now: datetime,
        *,
        gone: bool,
    ) -> None:
        values = {
            "owner": entry.owner,
            "number": entry.number,
            "at": now,
            "actor": actor,
            "action": action,
            "reason": reason,
            "entry": None if gone else _plain(entry),
        }
        session.execute(insert(NumberHistoryRow), [values])


def _renews_little(before: Listed, judgement: Judgement) -> bool:
    """Each report prolongs an entry; devices need not fetch it for that every time."""
    same = (before.standing, before.category) == (judgement.standing, judgement.category)
    if not same or before.origin != "reports":
        return False
    if before.expires_at is None or judgement.expires_at is None:
        return before.expires_at == judgement.expires_at
    return judgement.expires_at - before.expires_at < _RENEWAL


def _history(owner: str, number: str) -> Select[NumberHistoryRow]:
    row = NumberHistoryRow
    return select(row).where(row.owner == owner, row.number == number)


def _before(session: Session, row: NumberRow, since: datetime) -> NumberEntry | None:
    """How the automatic entry was before `since`, by its history; None where it was not, or a
    person has decided on it since."""
    last: NumberHistoryRow | None = None
    for item in session.scalars(_history(row.owner, row.number).order_by(NumberHistoryRow.id)):
        if item.at < since:
            last = item
        elif not _automatic(item):
            return None
    if last is None or last.entry is None or last.entry["origin"] not in AUTOMATIC:
        return None
    return _from_plain(last.entry)


def _automatic(item: NumberHistoryRow) -> bool:
    if item.entry is not None:
        return item.entry["origin"] in AUTOMATIC
    return item.action == Action.EXPIRED or item.actor == "reports"


def _entry(row: NumberRow) -> NumberEntry:
    return NumberEntry(
        owner=row.owner,
        number=row.number,
        standing=row.standing,
        category=row.category,
        name=row.name,
        origin=row.origin,
        reason=row.reason,
        expires_at=row.expires_at,
        listed_at=row.listed_at,
        changed_at=row.changed_at,
    )


def _plain(entry: NumberEntry) -> dict[str, Any]:
    values = asdict(entry)
    return values | {
        name: None if values[name] is None else values[name].isoformat() for name in _TIMES
    }


def _from_plain(values: Mapping[str, Any]) -> NumberEntry:
    times = {
        name: None if values[name] is None else datetime.fromisoformat(values[name])
        for name in _TIMES
    }
    return NumberEntry(**(dict(values) | times))
