"""The records of those who report: how their reports fared against what was found later."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, text, update
from sqlalchemy.orm import Session

from persona_ray.store.database import chunks
from persona_ray.store.screening.records import ReporterRecord, Settled
from persona_ray.store.screening.tables import ReporterRow, ReportRow
from persona_ray.store.tables import UtcDateTime

_MEET = text(
    "INSERT INTO screening_reporters (reporter, since, agreed, contradicted, withdrawn)"
    " VALUES (:reporter, :since, 0, 0, 0) ON CONFLICT DO NOTHING"
).bindparams(bindparam("since", type_=UtcDateTime))


def meet(session: Session, reporter: str, at: datetime) -> None:
    """Note a person, unless he is known."""
    session.execute(_MEET, {"reporter": reporter, "since": at})


def records(session: Session, reporters: Collection[str]) -> dict[str, ReporterRecord]:
    """Of those who are known."""
    found: dict[str, ReporterRecord] = {}
    row = ReporterRow
    columns = (row.reporter, row.since, row.agreed, row.contradicted, row.withdrawn)
    for some in chunks(sorted(set(reporters))):
        for values in session.execute(select(*columns).where(row.reporter.in_(some))):
            found[values[0]] = ReporterRecord(*values)
    return found


def settle(
    session: Session, reports: Sequence[ReportRow], standing: str, known_at: datetime
) -> set[str]:
    """Hold all reports on one key against what it turned out to be; the reporters whom that
    contradicts.

    `known_at`: a report that agrees but came later only repeats what the sets said. Reports that
    were retracted before an outcome count for nothing.
    """
    unfound = (Settled.OPEN, Settled.USED)
    counted = [row for row in reports if row.retracted_at is None or row.settled not in unfound]
    uncredit(session, counted)
    harmless = standing == "normal"
    for row in counted:
        if (row.standing == "normal") != harmless:
            row.settled = Settled.CONTRADICTED
        else:
            row.settled = Settled.AGREED if row.at < known_at else Settled.LATE
    _count(session, counted, 1)
    return {row.reporter for row in counted if row.settled == Settled.CONTRADICTED}


def uncredit(session: Session, reports: Sequence[ReportRow]) -> None:
    """Take what these reports were counted for off their reporters' records."""
    _count(session, reports, -1)
    for row in reports:
        row.settled = Settled.OPEN


def _count(session: Session, reports: Sequence[ReportRow], step: int) -> None:
    columns: dict[str, Any] = {
        Settled.AGREED: ReporterRow.agreed,
        Settled.CONTRADICTED: ReporterRow.contradicted,
    }
    for settled, column in columns.items():
        people = sorted({row.reporter for row in reports if row.settled == settled})
        for some in chunks(people):
            change = update(ReporterRow).where(ReporterRow.reporter.in_(some))
            session.execute(
                change.values({column: column + step}),
                execution_options={"synchronize_session": False},
            )
