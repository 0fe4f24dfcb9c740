"""The audit log: what was done with personal data, when, by whom, one entry after the other.

Each entry holds the hash of the one before it, is signed by the installation's key, and stands in
the transaction that it tells of, where that is in the store. Whoever can write to the database
alone cannot edit, remove, swap or add one unseen; the end of the log is known by its head, which
lies elsewhere (`audit_seal`). Persons are named by keyed digests.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.orm import Session

from persona_ray.errors import AuditError
from persona_ray.store.audit_seal import KINDS, AuditHead, AuditSeal
from persona_ray.store.audit_tables import AuditRow
from persona_ray.store.database import Database, affected, told_after
from persona_ray.vault.statements import Signed, canonical

if TYPE_CHECKING:
    from persona_ray.store.open import Store

_PRUNE, _REWIND = "audit.prune", "audit.rewind"
_PAGE = 1000
_log = logging.getLogger("persona_ray.audit")
_actor: ContextVar[str] = ContextVar("actor", default="")
_FIELDS = ("number", "at", "actor", "action", "about", "outcome", "details", "previous")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as it stands in the table. `details` is JSON."""

    number: int
    at: str
    actor: str
    action: str
    about: str
    outcome: str
    details: str
    previous: str
    hash: str = ""
    key_id: str = ""
    signature: str = ""

    def statement(self) -> dict[str, Any]:
        """What is hashed and signed."""
        return {"type": "audit entry", **{name: getattr(self, name) for name in _FIELDS}}

    def signed(self) -> Signed:
        return Signed(statement=self.statement(), key_id=self.key_id, signature=self.signature)

    def told(self) -> dict[str, Any]:
        """For people and programs: `details` as a tree. Raises AuditError for an edited one."""
        try:
            return {**asdict(self), "details": json.loads(self.details)}
        except ValueError:
            raise _broken(self.number, "was edited: its details are no JSON") from None


@dataclass(frozen=True, slots=True)
class Verified:
    """The log is whole: so many entries from number `first` to `last` (0: it is empty)."""

    entries: int
    first: int
    last: int
    hash: str


class AuditRepository:
    """Entries in their order. `seal` None: for readers, who append nothing."""

    def __init__(self, database: Database, seal: AuditSeal | None = None) -> None:
        self._database = database
        self._seal = seal

    @property
    def is_kept(self) -> bool:
        """Whether entries can be appended: the store was opened with the keys."""
        return self._seal is not None

    @property
    def seal(self) -> AuditSeal:
        """Raises AuditError where the store was opened without one."""
        if self._seal is None:
            raise AuditError(
                "the store was opened without the keys that sign its audit log: open it by "
                "open_audited(config)"
            )
        return self._seal

    def append(
        self,
        session: Session,
        actor: str,
        action: str,
        about: str = "",
        outcome: str = "done",
        details: Mapping[str, str | int] | None = None,
        back: bool = False,
    ) -> Entry:
        """One more entry, in the caller's transaction (`Store.write`). No text may name a person:
        `person` gives the digest that does. `back`: the head goes back to it. Raises AuditError
        where the store has no keys."""
        seal = self.seal
        last = session.execute(
            select(AuditRow.number, AuditRow.hash).order_by(AuditRow.number.desc()).limit(1)
        ).first()
        number, previous = (0, "") if last is None else last
        body = canonical(dict(details or {})).decode()
        entry = _signed(
            seal,
            Entry(
                number=number + 1,
                at=_text(datetime.now(UTC)),
                actor=actor,
                action=action,
                about=about,
                outcome=outcome,
                details=body,
                previous=previous,
            ),
        )
        session.execute(insert(AuditRow), [asdict(entry)])
        if back or self._reaches(session):
            told_after(session, lambda: _advance(seal, entry, back))
        return entry

    def note(
        self,
        actor: str,
        action: str,
        about: str = "",
        outcome: str = "done",
        details: Mapping[str, str | int] | None = None,
    ) -> Entry:
        """`append` in a transaction of its own, of what was done outside the store."""
        with self._database.write() as session:
            return self.append(session, actor, action, about, outcome, details)

    def rewound(self, session: Session, actor: str) -> Entry:
        """The store was put back to an earlier state, and the head with it: an entry that says
        where the head was before (0: it was deleted or damaged)."""
        try:
            before = self.seal.head()
        except AuditError:
            before = AuditHead(number=0, hash="")
        details: dict[str, str | int] = {"head": before.number, "hash": before.hash}
        return self.append(session, actor, _REWIND, details=details, back=True)

    def person(self, kind: str, name: str) -> str:
        """How entries name a person of one of KINDS. Raises AuditError as `digest`."""
        return f"{kind}:{self.digest(kind, name)}"

    def digest(self, kind: str, name: str) -> str:
        """`AuditSeal.person`, of the first person, too. Raises AuditError where entries or
        receipts name somebody already, by a secret that is gone."""
        if not self.seal.has_secret:
            # It is made before anybody is named: where another made it just now, it is there.
            if self._names_somebody() and not self.seal.has_secret:
                raise self.seal.lost(f"the audit log of {self._database}")
            self.seal.begin_persons()
        return self.seal.person(kind, name)

    def prune(self, before: datetime, actor: str, dry_run: bool = False) -> int:
        """Delete what is older than `before`, but for the last entry; how many. An entry says what
        went, so that the rest still verifies. `dry_run`: how many are that old."""
        old = AuditRow.at < _text(before)
        if dry_run:
            with self._database.read() as session:
                return session.scalar(select(func.count()).where(old)) or 0
        with self._database.write() as session:
            last = session.scalar(select(func.max(AuditRow.number)).where(old))
            final = session.scalar(select(func.max(AuditRow.number)))
            # The entry of the head stays: the log is known by it.
            kept = min(final or 0, self.seal.head().number)
            upto = None if last is None else min(last, kept - 1)
            if upto is None or upto < 1:
                return 0
            gone = select(AuditRow.hash).where(AuditRow.number == upto)
            digest = str(session.scalar(gone) or "")
            if not digest:
                return 0
            count = affected(session.execute(delete(AuditRow).where(AuditRow.number <= upto)))
            details = {"upto": upto, "hash": digest, "entries": count}
            self.append(session, actor, _PRUNE, details=details)
        self._database.flush_deleted()
        return count

    def entries(self, since: datetime | None = None) -> Iterator[Entry]:
        """In order, a page in memory at a time."""
        query = select(*AuditRow.__table__.columns)
        while True:
            if since is not None:
                query = query.where(AuditRow.at >= _text(since))
            with self._database.read() as session:
                rows = session.execute(query.order_by(AuditRow.number).limit(_PAGE)).all()
            yield from (Entry(*row) for row in rows)
            if len(rows) < _PAGE:
                return
            query = select(*AuditRow.__table__.columns).where(AuditRow.number > rows[-1].number)

    def verify(self, known: AuditHead | None = None) -> Verified:
        """Raises AuditError that names the first entry which does not fit.

        `known` is a head that was written down elsewhere; the file beside the keys is read anyhow.
        """
        # Before the entries: a writer may go on meanwhile, and the log only grows.
        heads = [self.seal.head(), *([] if known is None else [known])]
        return verify(self.entries(), self.seal, heads)

    def _names_somebody(self) -> bool:
        named = or_(*(AuditRow.about.startswith(f"{kind}:") for kind in KINDS))
        with self._database.read() as session:
            return session.scalar(select(AuditRow.number).where(named).limit(1)) is not None

    def _reaches(self, session: Session) -> bool:
        """Whether the log has the entry that was its head. Where it was cut off or rewritten the
        head stays where it is, and a deleted or damaged one as it is, so that `verify` tells."""
        try:
            head = self.seal.head()
        except AuditError as error:
            _log.error("%s", error)
            return False
        query = select(AuditRow.hash).where(AuditRow.number == head.number)
        if not head.number or session.scalar(query) == head.hash:
            return True
        _log.error("the audit log no longer has entry %d: `persona-ray audit verify`", head.number)
        return False


@contextmanager
def acting(actor: str) -> Iterator[None]:
    """Within the block `actor_here` is this one: whose key asked for it."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def actor_here() -> str:
    """Who acts: as `acting` says, or the operating system's user, for commands."""
    if _actor.get():
        return _actor.get()
    try:
        return f"user:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container's user need not have a name.
        return f"user:{os.getuid()}"


def about_person(store: Store, kind: str, name: str) -> str:
    """`AuditRepository.person` for `note_forgotten`, to be asked for before anything is deleted;
    empty where the store was not opened to be audited."""
    return store.audit.person(kind, name) if store.audit.is_kept else ""


def note_forgotten(store: Store, action: str, about: str, calls: int) -> None:
    """That a person was forgotten, where the store was opened to be audited."""
    if store.audit.is_kept:
        store.audit.note(actor_here(), action, about, details={"calls": calls})


def verify(entries: Iterator[Entry], seal: AuditSeal, heads: list[AuditHead]) -> Verified:
    """As `AuditRepository.verify`, of entries from anywhere."""
    count = first = last = 0
    digest = anchor = ""
    pruned: set[tuple[int, str]] = set()
    wanted = {head.number: head for head in heads if head.number}
    for entry in entries:
        if entry.number < 1:
            raise _broken(entry.number, "was added: the first has number 1")
        if not count:
            first, last, anchor = entry.number, entry.number - 1, entry.previous
            digest = anchor
        _check(entry, last + 1, digest, seal)
        if entry.action == _PRUNE:
            tree = json.loads(entry.details)
            pruned.add((tree["upto"], tree["hash"]))
        head = wanted.pop(entry.number, None)
        if head is not None and head.hash != entry.hash:
            raise _broken(entry.number, "is not the one that was the head: the log was rewritten")
        count, last, digest = count + 1, entry.number, entry.hash
    if count and (first, anchor) != (1, "") and (first - 1, anchor) not in pruned:
        raise _broken(first - 1, "is missing, and no entry tells that it was pruned")
    for head in wanted.values():
        # What was pruned is told by an entry; a head is older only where one was written down.
        if head.number > last:
            raise _broken(last + 1, f"is missing: the log once reached {head.number}")
    return Verified(count, first, last, digest)


def _check(entry: Entry, number: int, previous: str, seal: AuditSeal) -> None:
    if entry.number != number:
        raise _broken(number, "is missing")
    if not all(isinstance(getattr(entry, name), str) for name in _FIELDS[1:]):
        # SQLite keeps what it is given, whatever the column's type.
        raise _broken(number, "was edited: it is not all text")
    if hashlib.sha256(canonical(entry.statement())).hexdigest() != entry.hash:
        raise _broken(number, "was edited: its hash does not fit")
    if entry.previous != previous:
        raise _broken(number, f"does not follow entry {number - 1}: one of them was replaced")
    try:
        seal.check(entry.signed())
    except AuditError:
        raise _broken(
            number, f"was added or edited, or the keys that signed it are not in {seal.folder}"
        ) from None


def _signed(seal: AuditSeal, entry: Entry) -> Entry:
    signed = seal.keys.sign(entry.statement())
    digest = hashlib.sha256(canonical(signed.statement)).hexdigest()
    return replace(entry, hash=digest, key_id=signed.key_id, signature=signed.signature)


def _advance(seal: AuditSeal, entry: Entry, back: bool) -> None:
    """What is committed is done, whatever becomes of the head: the next entry moves it."""
    try:
        seal.advance(entry.number, entry.hash, back)
    except (AuditError, OSError) as error:
        _log.error("the head of the audit log stays where it is: %s", error)


def _broken(number: int, why: str) -> AuditError:
    return AuditError(
        f"audit log: entry {number} {why}; what stands from there on cannot be trusted: look for "
        "who could write to the database, and put the log back from a backup"
    )


def _text(at: datetime) -> str:
    """Sorts as time does."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
