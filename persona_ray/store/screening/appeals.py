"""Appeals against entries of the shared sets and libraries, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected
from persona_ray.store.screening.records import Appeal, AppealState, Judge, ReportedSet
from persona_ray.store.screening.reports import ReportRepository
from persona_ray.store.screening.tables import AppealRow


class UnknownAppealError(LookupError):
    """There is no such appeal."""


class AppealDecidedError(LookupError):
    """The appeal has been decided."""


class NotInSetError(LookupError):
    """What is appealed against stands in no shared set."""


class AppealRepository:
    """Appeals by their id. A granted one takes the entry out and tells on those who reported it."""

    def __init__(
        self, database: Database, sets: Mapping[str, ReportedSet], reports: ReportRepository
    ) -> None:
        self._database = database
        self._sets = dict(sets)
        self._reports = reports

    def make(self, appeal: Appeal) -> Appeal:
        """Note an appeal; the appellant's open one against the same entry, if there is one.
        Raises NotInSetError where there is nothing to appeal against."""
        open_ = _open(appeal.kind, appeal.key).where(AppealRow.appellant == appeal.appellant)
        with self._database.write() as session:
            before = session.scalars(open_).first()
            if before is not None:
                return _appeal(before)
            shared = self._sets.get(appeal.kind)
            if shared is None or shared.listed(session, appeal.key, appeal.made_at) is None:
                raise NotInSetError(appeal.kind)
            session.add(AppealRow(**asdict(appeal)))
        return appeal

    def decide(
        self,
        appeal_id: str,
        granted: bool,
        actor: str,
        reason: str,
        judge: Judge,
        now: datetime,
    ) -> Appeal:
        """Grant: the entry goes, whoever made it, and those who reported it are contradicted;
        refuse: they are confirmed. Other open appeals against the entry are decided with it.

        Raises UnknownAppealError or AppealDecidedError.
        """
        with self._database.write() as session:
            row = session.get(AppealRow, appeal_id)
            if row is None:
                raise UnknownAppealError(appeal_id)
            if row.state != AppealState.OPEN:
                raise AppealDecidedError(appeal_id)
            kind, key = row.kind, row.key
            listed = self._sets[kind].listed(session, key, now)
            said = f"appeal {'granted' if granted else 'refused'}: {reason}"
            if granted:
                found = ("normal", "")
                self._reports.settle(session, kind, key, *found, actor, said, judge, now)
                self._sets[kind].delist(session, key, actor, said, now)
            elif listed is not None:
                found = (listed.standing, listed.category)
                self._reports.settle(session, kind, key, *found, actor, said, judge, now)
            for appeal in session.scalars(_open(kind, key)):
                appeal.state = AppealState.GRANTED if granted else AppealState.REFUSED
                appeal.decided_at, appeal.decided_by, appeal.decision = now, actor, reason
            session.flush()
            return _appeal(row)

    def get(self, appeal_id: str) -> Appeal | None:
        with self._database.read() as session:
            row = session.get(AppealRow, appeal_id)
            return None if row is None else _appeal(row)

    def open(self, limit: int = 100) -> list[Appeal]:
        """Those that nobody has decided, oldest first."""
        query = select(AppealRow).where(AppealRow.state == AppealState.OPEN)
        query = query.order_by(AppealRow.made_at, AppealRow.appeal_id).limit(limit)
        with self._database.read() as session:
            return [_appeal(row) for row in session.scalars(query)]

    def of_appellant(self, appellant: str, limit: int = 100) -> list[Appeal]:
        """A person's own, newest first."""
        query = select(AppealRow).where(AppealRow.appellant == appellant)
        query = query.order_by(AppealRow.made_at.desc(), AppealRow.appeal_id).limit(limit)
        with self._database.read() as session:
            return [_appeal(row) for row in session.scalars(query)]

    def forget_appellant(self, session: Session, appellant: str) -> int:
        """Delete a person's appeals, in the caller's transaction; rows deleted."""
        theirs = delete(AppealRow).where(AppealRow.appellant == appellant)
        return affected(session.execute(theirs))

    def forget_key(self, session: Session, kind: str, key: str) -> int:
        """Delete the appeals about a key, in the caller's transaction; rows deleted."""
        about = delete(AppealRow).where(AppealRow.kind == kind, AppealRow.key == key)
        return affected(session.execute(about))


def _open(kind: str, key: str) -> Select[AppealRow]:
    return select(AppealRow).where(
        AppealRow.kind == kind, AppealRow.key == key, AppealRow.state == AppealState.OPEN
    )


def _appeal(row: AppealRow) -> Appeal:
    return Appeal(
        appeal_id=row.appeal_id,
        kind=row.kind,
        key=row.key,
        appellant=row.appellant,
        text=row.text,
        state=AppealState(row.state),
        made_at=row.made_at,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        decision=row.decision,
    )
