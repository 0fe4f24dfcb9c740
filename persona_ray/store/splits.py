"""Which split a customer was dealt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.tables import SplitRow
from persona_ray.types import Split

Unit = Literal["customer", "sentence"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """`key` (a customer, or a clip where the unit is the sentence) belongs to `split`.

    `label` is the stratum that it was dealt in: its label at that time.
    """

    key: str
    customer_id: str
    split: Split
    label: str


Dealer = Callable[[Mapping[str, Assignment]], Collection[Assignment]]


class SplitRepository:
    """Assignments by salt and unit. One that stands is never changed, only forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, salt: str, unit: Unit) -> dict[str, Assignment]:
        with self._database.read() as session:
            return _load(session, salt, unit)

    def extend(self, salt: str, unit: Unit, deal: Dealer) -> dict[str, Assignment]:
        """All assignments after adding those that `deal` makes, given the ones that stand.

        Reading, dealing and writing are one exclusive transaction, so that two jobs at once deal
        one after the other. Raises ValueError where `deal` gives a key that has an assignment.
        """
        with self._database.write() as session:
            standing = _load(session, salt, unit)
            dealt = {item.key: item for item in deal(standing)}
            again = standing.keys() & dealt.keys()
            if again:
                raise ValueError(f"'{min(again)}' has an assignment already")
            now = datetime.now(UTC)
            for items in chunks([dealt[key] for key in sorted(dealt)]):
                session.execute(
                    insert(SplitRow), [_values(item, salt, unit, now) for item in items]
                )
        return standing | dealt

    def forget(self, session: Session, customer_id: str) -> int:
        """Delete a customer's assignments within the caller's transaction."""
        return affected(
            session.execute(delete(SplitRow).where(SplitRow.customer_id == customer_id))
        )


def _load(session: Session, salt: str, unit: Unit) -> dict[str, Assignment]:
    query = select(SplitRow.key, SplitRow.customer_id, SplitRow.split, SplitRow.label)
    query = query.where(SplitRow.salt == salt, SplitRow.unit == unit)
    return {
        key: Assignment(key, customer_id, Split(split), label)
        for key, customer_id, split, label in session.execute(query)
    }


def _values(item: Assignment, salt: str, unit: Unit, now: datetime) -> dict[str, object]:
    return {
        "salt": salt,
        "unit": unit,
        "key": item.key,
        "customer_id": item.customer_id,
        "split": item.split.value,
        "label": item.label,
        "assigned_at": now,
    }
