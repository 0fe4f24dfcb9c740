"""Reports on numbers and voices, the record of those who report, and what was found true later.

Who may change a shared set is decided by a Judge (inference.screening.reports) over all reports on
a key, inside the transaction that adds or retracts one: the set is always what the reports that are
left come to. Histories of shared sets say how many persons reported, never who.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, not_, select, update
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected
from persona_ray.store.screening.records import (
    AUTOMATIC,
    Judge,
    Judgement,
    Listed,
    Report,
    ReportedSet,
    ReporterRecord,
    Settled,
    rank,
)
from persona_ray.store.screening.reporters import meet, records, settle, uncredit
from persona_ray.store.screening.tables import OutcomeRow, ReporterRow, ReportRow

_DAY = timedelta(days=1)
# Reports of each side that are judged: many more than convince anybody.
_JUDGED = 500
_STRENGTH = {"": 0, "abnormal": 1, "illegal": 2}


class TooManyReportsError(LookupError):
    """A person has reported as much as a day allows."""


class UnknownReportError(LookupError):
    """There is no such report of this person, or it is retracted already."""


class ReportRepository:
    """Reports by kind and key. `sets` are the shared sets that they may change, by kind."""

    def __init__(self, database: Database, sets: Mapping[str, ReportedSet]) -> None:
        self._database = database
        self._sets = dict(sets)

    def meet(self, reporter: str, now: datetime) -> None:
        """Note a person who may report: how long he is known counts."""
        with self._database.write() as session:
            meet(session, reporter, now)

    def add(self, report: Report, judge: Judge, per_day: int) -> Judgement:
        """Count a report at its time; what the key's reports come to with it.

        A person's earlier report on the key is replaced. Raises TooManyReportsError beyond
        `per_day` reports of a person in 24 hours.
        """
        with self._database.write() as session:
            meet(session, report.reporter, report.at)
            mine = (ReportRow.reporter == report.reporter, ReportRow.at > report.at - _DAY)
            if (session.scalar(select(func.count()).where(*mine)) or 0) >= per_day:
                raise TooManyReportsError(report.reporter)
            before = update(ReportRow).where(
                ReportRow.kind == report.kind,
                ReportRow.key == report.key,
                ReportRow.reporter == report.reporter,
                ReportRow.retracted_at.is_(None),
            )
            session.execute(before.values(retracted_at=report.at))
            session.add(_row(report))
            session.flush()
            return self._apply(session, report.kind, report.key, judge, report.at)

    def retract(self, report_id: str, reporter: str, judge: Judge, now: datetime) -> Judgement:
        """Take a report back: the set becomes what it was without it. Of a report that had helped
        to list, that goes on its person's record. Raises UnknownReportError."""
        with self._database.write() as session:
            row = session.get(ReportRow, report_id)
            if row is None or row.reporter != reporter or row.retracted_at is not None:
                raise UnknownReportError(report_id)
            row.retracted_at = now
            if row.settled == Settled.AGREED:
                uncredit(session, [row])
            elif row.settled == Settled.USED:
                change = update(ReporterRow).where(ReporterRow.reporter == reporter)
                session.execute(change.values(withdrawn=ReporterRow.withdrawn + 1))
            session.flush()
            return self._apply(session, row.kind, row.key, judge, now)

    def settle(
        self,
        session: Session,
        kind: str,
        key: str,
        standing: str,
        category: str,
        actor: str,
        reason: str,
        judge: Judge,
        now: datetime,
    ) -> None:
        """Note what a key turned out to be, in the caller's transaction.

        Reports that said so before it was known raise their reporters' records, others lower them;
        what else those had brought into the sets is judged anew. An earlier outcome is undone.
        What is found to be normal leaves the shared set, unless a person put it there.
        """
        outcome = session.get(OutcomeRow, (kind, key)) or OutcomeRow(kind=kind, key=key)
        outcome.standing, outcome.category = standing, category
        outcome.actor, outcome.at = actor, now
        session.add(outcome)
        listed = self._listed(session, kind, key, now)
        by_reports = listed is not None and rank(listed.origin) >= rank("reports")
        known_at = listed.listed_at if listed is not None and by_reports else now
        rows = session.scalars(select(ReportRow).where(_of(kind, key))).all()
        worse = settle(session, rows, standing, known_at)
        if standing == "normal" and listed is not None and listed.origin in AUTOMATIC:
            self._sets[kind].delist(session, key, actor, reason, now)
        session.flush()
        for other_kind, other_key in self._reported_by(session, worse):
            found = self._listed(session, other_kind, other_key, now)
            if found is not None and found.origin == "reports":
                self._apply(session, other_kind, other_key, judge, now)

    def tally(self, kind: str, key: str, judge: Judge, now: datetime) -> Judgement:
        """What the key's reports come to now; changes nothing."""
        with self._database.read() as session:
            return self._judge(session, kind, key, judge, now)

    def of_key(self, kind: str, key: str) -> list[Report]:
        """All reports on a key, retracted ones too, oldest first."""
        query = select(ReportRow).where(_of(kind, key)).order_by(ReportRow.at, ReportRow.report_id)
        with self._database.read() as session:
            return [_report(row) for row in session.scalars(query)]

    def of_reporter(self, reporter: str, limit: int = 100) -> list[Report]:
        """A person's reports, newest first."""
        query = select(ReportRow).where(ReportRow.reporter == reporter)
        query = query.order_by(ReportRow.at.desc(), ReportRow.report_id).limit(limit)
        with self._database.read() as session:
            return [_report(row) for row in session.scalars(query)]

    def record(self, reporter: str) -> ReporterRecord | None:
        """How a person's reports have fared; None for somebody unknown."""
        with self._database.read() as session:
            return records(session, [reporter]).get(reporter)

    def most_reported(self, kind: str, limit: int = 50) -> list[tuple[str, int]]:
        """Keys that the most persons report and that nobody has decided on, with the number of
        persons: what an operator looks at first."""
        persons = func.count(ReportRow.reporter.distinct())
        decided = select(OutcomeRow.key).where(OutcomeRow.kind == kind)
        query = (
            select(ReportRow.key, persons)
            .where(ReportRow.kind == kind, ReportRow.retracted_at.is_(None))
            .where(ReportRow.standing != "normal", ReportRow.key.not_in(decided))
            .group_by(ReportRow.key)
            .order_by(persons.desc(), ReportRow.key)
        )
        with self._database.read() as session:
            return [(key, count) for key, count in session.execute(query.limit(limit))]

    def void(
        self, session: Session, kind: str, keys: Iterable[str], since: datetime, now: datetime
    ) -> None:
        """Take back all reports on the keys since, in the caller's transaction, without a word on
        anybody's record: what was rolled back must not come again by them."""
        for key in keys:
            late = update(ReportRow).where(_of(kind, key), ReportRow.at >= since)
            open_ = late.where(ReportRow.retracted_at.is_(None))
            session.execute(open_.values(retracted_at=now))

    def expire(self, before: datetime) -> int:
        """Delete reports made before: what they weigh has gone. Records stay. Reports deleted."""
        with self._database.write() as session:
            gone = affected(session.execute(delete(ReportRow).where(ReportRow.at < before)))
        if gone:
            self._database.flush_deleted()
        return gone

    def forget_reporter(self, session: Session, reporter: str, judge: Judge, now: datetime) -> int:
        """Delete a person's reports and record, in the caller's transaction; rows deleted. The
        sets become what they were without them."""
        mine = (ReportRow.reporter == reporter,)
        keys = session.execute(select(ReportRow.kind, ReportRow.key).where(*mine).distinct()).all()
        rows = affected(session.execute(delete(ReportRow).where(*mine)))
        known = delete(ReporterRow).where(ReporterRow.reporter == reporter)
        rows += affected(session.execute(known))
        for kind, key in keys:
            self._apply(session, kind, key, judge, now)
        return rows

    def forget_key(self, session: Session, kind: str, key: str) -> int:
        """Delete what was reported and found of a key, in the caller's transaction; rows deleted.
        Records stay."""
        rows = affected(session.execute(delete(ReportRow).where(_of(kind, key))))
        outcome = delete(OutcomeRow).where(OutcomeRow.kind == kind, OutcomeRow.key == key)
        return rows + affected(session.execute(outcome))

    def _apply(
        self, session: Session, kind: str, key: str, judge: Judge, now: datetime
    ) -> Judgement:
        """Make the shared set what the reports come to.

        Reports fade, an entry that they made stays until it expires: it goes or gets milder only
        where the reports that are left would not have made it when it was made.
        """
        judgement = self._judge(session, kind, key, judge, now)
        shared = self._sets.get(kind)
        if shared is None:
            return judgement
        listed = shared.listed(session, key, now)
        theirs = listed is not None and listed.origin == "reports"
        if listed is not None and theirs:
            then = self._judge(session, kind, key, judge, listed.listed_at)
            if _STRENGTH[then.standing] > _STRENGTH[judgement.standing]:
                judgement = replace(then, expires_at=listed.expires_at)
        if judgement.standing:
            shared.enlist(session, key, judgement, now)
            _use(session, kind, key)
        elif theirs:
            shared.delist(session, key, "reports", judgement.reason, now)
        return judgement

    def _judge(
        self, session: Session, kind: str, key: str, judge: Judge, at: datetime
    ) -> Judgement:
        """Over the reports that are not retracted and not answered by a finding of `normal`.

        Of each side the most trusted persons and the newest reports come first, and so many are
        read: a flood of reports makes nothing slow, and nobody without a record crowds out others.
        """
        outcome = session.get(OutcomeRow, (kind, key))
        harmless = ReportRow.standing == "normal"
        counted = and_(_of(kind, key), ReportRow.retracted_at.is_(None))
        if outcome is not None and outcome.standing == "normal":
            counted = and_(counted, ReportRow.at > outcome.at)
        record = ReporterRow.agreed - ReporterRow.contradicted - ReporterRow.withdrawn
        query = select(ReportRow).join(ReporterRow, ReporterRow.reporter == ReportRow.reporter)
        query = query.order_by(record.desc(), ReportRow.at.desc()).limit(_JUDGED)
        reports = [
            _report(row)
            for side in (harmless, not_(harmless))
            for row in session.scalars(query.where(counted, side))
        ]
        return judge(reports, records(session, [item.reporter for item in reports]), at)

    def _listed(self, session: Session, kind: str, key: str, now: datetime) -> Listed | None:
        shared = self._sets.get(kind)
        return None if shared is None else shared.listed(session, key, now)

    def _reported_by(self, session: Session, reporters: set[str]) -> list[tuple[str, str]]:
        query = select(ReportRow.kind, ReportRow.key).where(
            ReportRow.reporter.in_(reporters), ReportRow.retracted_at.is_(None)
        )
        return [(kind, key) for kind, key in session.execute(query.distinct())]


def _use(session: Session, kind: str, key: str) -> None:
    """Note which reports have helped to list a key: taking them back is not free."""
    helped = update(ReportRow).where(
        _of(kind, key),
        ReportRow.retracted_at.is_(None),
        ReportRow.standing != "normal",
        ReportRow.settled == Settled.OPEN,
    )
    session.execute(helped.values(settled=Settled.USED))


def _of(kind: str, key: str) -> ColumnElement[bool]:
    return and_(ReportRow.kind == kind, ReportRow.key == key)


def _row(report: Report) -> ReportRow:
    return ReportRow(**asdict(report))


def _report(row: ReportRow) -> Report:
    return Report(
        report_id=row.report_id,
        kind=row.kind,
        key=row.key,
        reporter=row.reporter,
        device=row.device,
        category=row.category,
        standing=row.standing,
        source=row.source,
        call_id=row.call_id,
        at=row.at,
        retracted_at=row.retracted_at,
        settled=Settled(row.settled),
    )
