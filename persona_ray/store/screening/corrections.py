"""What users say of their calls: corrected categories, categories that they want."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from persona_ray.store.database import Database
from persona_ray.store.screening.call_records import UnknownCallError
from persona_ray.store.screening.call_tables import (
    ScreenedCallRow,
    ScreeningCorrectionRow,
    ScreeningSettingsRow,
)
from persona_ray.store.screening.notices import notify


class UnfinishedCallError(LookupError):
    """The call has no verdict yet that could be corrected."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A call was `category`, not `before`, which `model` had said; `by` is the key that said so."""

    user_id: str
    call_id: str
    before: str
    category: str
    model: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CorrectedCall:
    """A sample to learn from: the last correction of a call, and its verdict."""

    correction: Correction
    ref: str
    channel: str
    called_at: datetime
    verdict: Mapping[str, Any]


class CorrectionRepository:
    """Corrections by call, settings by user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def correct(
        self, user_id: str, call_id: str, category: str, standing: str, by: str
    ) -> tuple[Correction, int]:
        """Note what a call was; its category and standing change with it. The number of the
        notice that tells the user's other devices.

        Raises UnknownCallError, UnfinishedCallError.
        """
        with self._database.write() as session:
            row = session.get(ScreenedCallRow, (user_id, call_id))
            if row is None:
                raise UnknownCallError(call_id)
            if row.verdict is None:
                raise UnfinishedCallError(call_id)
            found = ScreeningCorrectionRow(
                user_id=user_id,
                call_id=call_id,
                before=row.category,
                category=category,
                model=str((row.verdict.get("models") or {}).get("category", "")),
                by=by,
                at=datetime.now(UTC),
            )
            session.add(found)
            row.category, row.standing = category, standing
            body = {"before": found.before, "category": category, "standing": standing}
            return _correction(found), notify(session, row, "corrected", body)

    def of_call(self, user_id: str, call_id: str) -> list[Correction]:
        """In the order in which they were made."""
        query = (
            select(ScreeningCorrectionRow)
            .where(
                ScreeningCorrectionRow.user_id == user_id,
                ScreeningCorrectionRow.call_id == call_id,
            )
            .order_by(ScreeningCorrectionRow.id)
        )
        with self._database.read() as session:
            return [_correction(row) for row in session.scalars(query)]

    def samples(self) -> Iterator[CorrectedCall]:
        """Every corrected call once, by its last correction, in the order of those."""
        last = select(func.max(ScreeningCorrectionRow.id)).group_by(
            ScreeningCorrectionRow.user_id, ScreeningCorrectionRow.call_id
        )
        query = (
            select(ScreeningCorrectionRow, ScreenedCallRow)
            .join(
                ScreenedCallRow,
                (ScreenedCallRow.user_id == ScreeningCorrectionRow.user_id)
                & (ScreenedCallRow.call_id == ScreeningCorrectionRow.call_id),
            )
            .where(ScreeningCorrectionRow.id.in_(last))
            .order_by(ScreeningCorrectionRow.id)
        )
        with self._database.read() as session:
            for row, call in session.execute(query):
                verdict = dict(call.verdict or {})
                yield CorrectedCall(_correction(row), call.ref, call.channel, call.at, verdict)

    def wanted(self, user_id: str) -> tuple[str, ...] | None:
        """Categories that get through to a user; None: the user has not chosen."""
        with self._database.read() as session:
            row = session.get(ScreeningSettingsRow, user_id)
            return None if row is None or row.wanted is None else tuple(row.wanted)

    def want(self, user_id: str, categories: Sequence[str] | None) -> None:
        """Note a user's choice; None takes it back."""
        with self._database.write() as session:
            row = _settings(session, user_id)
            row.wanted = None if categories is None else list(categories)
            row.changed_at = datetime.now(UTC)


def _settings(session: Session, user_id: str) -> ScreeningSettingsRow:
    row = session.get(ScreeningSettingsRow, user_id)
    if row is None:
        row = ScreeningSettingsRow(user_id=user_id, wanted=None, changed_at=datetime.now(UTC))
        session.add(row)
    return row


def _correction(row: ScreeningCorrectionRow) -> Correction:
    return Correction(row.user_id, row.call_id, row.before, row.category, row.model, row.by, row.at)
