"""What the repositories of screening hand out. Standings, origins and categories are as in the
configuration and in inference.screening.records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy.orm import Session

# Entries of these origins nobody looked at: they expire, give way and can be rolled back.
AUTOMATIC = frozenset({"reports", "call"})
# Whose word stands against whose; persons are above machines.
_RANKS = {"call": 0, "reports": 1, "correction": 2, "user": 2, "operator": 2}


def rank(origin: str) -> int:
    """0 call, 1 reports, 2 a person: an entry gives way to those of its rank or above."""
    return _RANKS[origin]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberEntry:
    """A number (E.164) in the set of `owner`, empty for the shared sets. `listed_at` is when it
    came into the set, `changed_at` when it was last confirmed or changed."""

    number: str
    standing: str
    origin: str
    owner: str = ""
    category: str = ""
    name: str = ""
    reason: str = ""
    expires_at: datetime | None = None
    listed_at: datetime | None = None
    changed_at: datetime | None = None

    def payload(self) -> dict[str, Any]:
        """What devices are told. The reason stays here: it may quote a person."""
        return {
            "standing": self.standing,
            "category": self.category,
            "name": self.name,
            "origin": self.origin,
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
        }


def lasts(expires_at: datetime | None, now: datetime) -> bool:
    """Whether an entry of a set or library stands at `now`; None: until somebody takes it out."""
    return expires_at is None or expires_at > now


class Action(StrEnum):
    """What was done to an entry."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One thing that was done to an entry, oldest first; `entry` is how it was afterwards, None
    where it was gone."""

    at: datetime
    actor: str
    action: Action
    reason: str
    entry: Mapping[str, Any] | None


class AppealState(StrEnum):
    """Of an appeal."""

    OPEN = "open"
    GRANTED = "granted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Appeal:
    """Somebody says that a number or voice does not belong into the shared sets."""

    appeal_id: str
    kind: str
    key: str
    appellant: str
    text: str
    made_at: datetime
    state: AppealState = AppealState.OPEN
    decided_at: datetime | None = None
    decided_by: str = ""
    decision: str = ""


class Settled(StrEnum):
    """How a report fared. USED: it helped to list, and nothing has been found yet; AGREED and
    CONTRADICTED by a confirmed outcome; LATE: it said what was known already."""

    OPEN = ""
    USED = "used"
    AGREED = "agreed"
    CONTRADICTED = "contradicted"
    LATE = "late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a person says of a number or voice. `device` is where it was said, empty: not known;
    `source` is `report` or `correction`."""

    report_id: str
    kind: str
    key: str
    reporter: str
    category: str
    standing: str
    at: datetime
    device: str = ""
    source: str = "report"
    call_id: str = ""
    retracted_at: datetime | None = None
    settled: Settled = Settled.OPEN


@dataclass(frozen=True, slots=True)
class ReporterRecord:
    """How a person's reports have fared: `agreed` with outcomes that were confirmed later,
    `contradicted` by them, `withdrawn` by himself after they had helped to list."""

    reporter: str
    since: datetime
    agreed: int = 0
    contradicted: int = 0
    withdrawn: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the reports on one key come to. `standing` is empty where they do not suffice; then
    `reason` says what is missing."""

    standing: str
    category: str
    persons: int
    weight: float
    reason: str
    expires_at: datetime | None = None
    by_category: Mapping[str, float] = field(default_factory=dict)


class Judge(Protocol):
    """Scores reports; see inference.screening.reports."""

    def __call__(
        self,
        reports: Sequence[Report],
        reporters: Mapping[str, ReporterRecord],
        now: datetime,
    ) -> Judgement: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A shared entry, as far as reports care."""

    origin: str
    standing: str
    category: str
    listed_at: datetime
    expires_at: datetime | None


class ReportedSet(Protocol):
    """A shared set or library that reports may change, in the caller's transaction."""

    def listed(self, session: Session, key: str, now: datetime) -> Listed | None:
        """The key's shared entry; None where there is none, or it has expired."""
        ...

    def enlist(self, session: Session, key: str, judgement: Judgement, now: datetime) -> None:
        """Put the key in or confirm it, with origin `reports`; entries of persons stay."""
        ...

    def delist(self, session: Session, key: str, actor: str, reason: str, now: datetime) -> None:
        """Take the key out, whatever its origin."""
        ...
