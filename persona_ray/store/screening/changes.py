"""The log of changes to the shared sets, the users' own sets and the voice libraries.

A stream is a kind (`numbers`, `voices`) of one owner (empty: shared). Its changes are numbered from
1 without a hole, in the order in which they were committed: the row of the stream is locked from
the numbering to the commit, so whoever has seen change n will never find a new one below n. What
stood at any sequence from `floor` to `sequence` can be had again (`standing`), in pages, while
others write: a snapshot needs no lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import RowMapping, Select, delete, func, insert, select, text, update
from sqlalchemy.orm import Session, aliased

from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.screening.sealed import kept_payload, of_change, opened_payload
from persona_ray.store.screening.tables import ChangeRow, StreamRow
from persona_ray.vault.seal import PLAIN, Vault

NUMBERS = "numbers"
VOICES = "voices"
SHARED = ""


class What(StrEnum):
    """What happened to an entry."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change that has no sequence yet; `payload` is the entry as it now is, None for REMOVED."""

    key: str
    what: What
    payload: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a stream, numbered from 1."""

    sequence: int
    key: str
    what: What
    payload: Mapping[str, Any] | None
    at: datetime


@dataclass(frozen=True, slots=True)
class StreamState:
    """`sequence`: the last change, 0 for none. `floor`: the oldest sequence that changes can be
    counted from and that a snapshot can be had of."""

    sequence: int
    floor: int


class ChangeLog(Protocol):
    """What distribution asks of the log."""

    def state(self, kind: str, owner: str = SHARED) -> StreamState: ...

    def since(
        self, kind: str, sequence: int, limit: int, owner: str = SHARED, to: int | None = None
    ) -> list[Change]: ...

    def standing(
        self, kind: str, sequence: int, limit: int, owner: str = SHARED, after_key: str = ""
    ) -> list[Change]: ...

    def those(self, kind: str, sequences: Sequence[int], owner: str = SHARED) -> list[Change]: ...


class ChangeRepository:
    """Streams of changes, with voiceprints sealed by `vault`. Implements ChangeLog."""

    def __init__(self, database: Database, vault: Vault = PLAIN) -> None:
        self._database = database
        self._vault = vault

    def append(
        self,
        session: Session,
        kind: str,
        changes: Sequence[NewChange],
        at: datetime,
        owner: str = SHARED,
    ) -> int:
        """Number the changes in the caller's transaction, which makes them with what they tell of;
        the stream's sequence afterwards."""
        last = _advance(session, kind, owner, len(changes))
        rows = [
            {
                "kind": kind,
                "owner": owner,
                "sequence": sequence,
                "key": change.key,
                "what": change.what,
                "payload": kept_payload(
                    self._vault, change.payload, of_change(kind, owner, sequence)
                ),
                "at": at,
            }
            for sequence, change in enumerate(changes, start=last - len(changes) + 1)
        ]
        for some in chunks(rows):
            session.execute(insert(ChangeRow), list(some))
        return last

    def state(self, kind: str, owner: str = SHARED) -> StreamState:
        """How far the stream has come."""
        query = select(StreamRow.sequence, StreamRow.floor).where(*_stream(kind, owner))
        with self._database.read() as session:
            row = session.execute(query).first()
        return StreamState(0, 0) if row is None else StreamState(row.sequence, row.floor)

    def since(
        self, kind: str, sequence: int, limit: int, owner: str = SHARED, to: int | None = None
    ) -> list[Change]:
        """At most `limit` changes behind `sequence` (and up to `to`), in their order. They are all
        there are only from the stream's floor on; below it a snapshot is needed."""
        query = _changes(kind, owner).where(ChangeRow.sequence > sequence)
        if to is not None:
            query = query.where(ChangeRow.sequence <= to)
        return self._read(query.order_by(ChangeRow.sequence).limit(limit))

    def standing(
        self, kind: str, sequence: int, limit: int, owner: str = SHARED, after_key: str = ""
    ) -> list[Change]:
        """What stood at `sequence`, not below the stream's floor: of each key behind `after_key`,
        in their order, the change that made it what it then was; at most `limit`."""
        later = aliased(ChangeRow)
        newest = (
            select(func.max(later.sequence))
            .where(
                later.kind == kind,
                later.owner == owner,
                later.key == ChangeRow.key,
                later.sequence <= sequence,
            )
            .scalar_subquery()
        )
        query = _changes(kind, owner).where(
            ChangeRow.key > after_key,
            ChangeRow.sequence == newest,
            ChangeRow.what != What.REMOVED,
        )
        return self._read(query.order_by(ChangeRow.key).limit(limit))

    def those(self, kind: str, sequences: Sequence[int], owner: str = SHARED) -> list[Change]:
        """The changes of these sequences, as far as they are kept, in their order."""
        found: list[Change] = []
        for some in chunks(sorted(sequences)):
            query = _changes(kind, owner).where(ChangeRow.sequence.in_(some))
            found += self._read(query.order_by(ChangeRow.sequence))
        return found

    def prune(self, before: datetime) -> int:
        """Delete what only tells of the time before: sequences of then can't be gone back to, and
        what stood at its end still stands. Changes deleted."""
        deleted = 0
        with self._database.write() as session:
            old = select(ChangeRow.kind, ChangeRow.owner, func.max(ChangeRow.sequence))
            old = old.where(ChangeRow.at < before).group_by(ChangeRow.kind, ChangeRow.owner)
            for kind, owner, floor in session.execute(old).all():
                deleted += _prune(session, kind, owner, floor)
        if deleted:
            self._database.flush_deleted()
        return deleted

    def forget(self, session: Session, kind: str, key: str, at: datetime) -> int:
        """Delete what the log says of a key, in every stream; devices are told to remove it where
        it stood. That last word goes with the next `prune`. Changes deleted."""
        rows = session.execute(
            select(ChangeRow.owner, ChangeRow.what)
            .where(ChangeRow.kind == kind, ChangeRow.key == key)
            .order_by(ChangeRow.sequence)
        ).all()
        mine = delete(ChangeRow).where(ChangeRow.kind == kind, ChangeRow.key == key)
        deleted = affected(session.execute(mine))
        for owner in sorted({owner for owner, _ in rows}):
            self.append(session, kind, [NewChange(key, What.REMOVED, None)], at, owner)
        return deleted

    def forget_owner(self, session: Session, owner: str) -> int:
        """Delete a user's own streams; changes deleted."""
        deleted = affected(session.execute(delete(ChangeRow).where(ChangeRow.owner == owner)))
        session.execute(delete(StreamRow).where(StreamRow.owner == owner))
        return deleted

    def _read(self, query: Select[Any]) -> list[Change]:
        with self._database.read() as session:
            return [self._change(row) for row in session.execute(query).mappings()]

    def _change(self, row: RowMapping) -> Change:
        about = of_change(row["kind"], row["owner"], row["sequence"])
        payload = opened_payload(self._vault, row["payload"], about)
        return Change(row["sequence"], row["key"], What(row["what"]), payload, row["at"])


def _stream(kind: str, owner: str) -> tuple[Any, Any]:
    return StreamRow.kind == kind, StreamRow.owner == owner


def _advance(session: Session, kind: str, owner: str, steps: int) -> int:
    """Move the stream on; its row stays locked until the transaction ends."""
    session.execute(
        text(
            "INSERT INTO screening_streams (kind, owner, sequence, floor)"
            " VALUES (:kind, :owner, 0, 0) ON CONFLICT DO NOTHING"
        ),
        {"kind": kind, "owner": owner},
    )
    move = update(StreamRow).where(*_stream(kind, owner))
    move = move.values(sequence=StreamRow.sequence + steps)
    options = {"synchronize_session": False}
    moved = session.execute(move.returning(StreamRow.sequence), execution_options=options)
    return int(moved.scalar_one())


def _prune(session: Session, kind: str, owner: str, floor: int) -> int:
    """Delete the changes up to the floor that the floor does not rest on."""
    later = aliased(ChangeRow)
    newest = (
        select(func.max(later.sequence))
        .where(later.kind == kind, later.owner == owner, later.sequence <= floor)
        .group_by(later.key)
    )
    old = (ChangeRow.kind == kind, ChangeRow.owner == owner, ChangeRow.sequence <= floor)
    options = {"synchronize_session": False}
    removals = delete(ChangeRow).where(*old, ChangeRow.what == What.REMOVED)
    superseded = delete(ChangeRow).where(*old, ChangeRow.sequence.not_in(newest))
    # Superseded ones first: without its removal, what was removed would stand again.
    deleted = affected(session.execute(superseded, execution_options=options))
    deleted += affected(session.execute(removals, execution_options=options))
    session.execute(
        update(StreamRow).where(*_stream(kind, owner), StreamRow.floor < floor).values(floor=floor),
        execution_options=options,
    )
    return deleted


def _changes(kind: str, owner: str) -> Select[Any]:
    row = ChangeRow
    columns = (row.kind, row.owner, row.sequence, row.key, row.what, row.payload, row.at)
    return select(*columns).where(row.kind == kind, row.owner == owner)
