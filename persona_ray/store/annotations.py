"""What annotators said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.tables import AnnotationRow

# Plain columns: 150,000 rows as mapped objects take twice as long.
_COLUMNS = (
    AnnotationRow.annotator,
    AnnotationRow.label,
    AnnotationRow.clip_id,
    AnnotationRow.call_id,
    AnnotationRow.customer_id,
    AnnotationRow.start_s,
    AnnotationRow.end_s,
    AnnotationRow.note,
    AnnotationRow.source,
    AnnotationRow.created_at,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotator's label of a clip (`clip_id`) or of a span of a call in seconds.

    A clip's annotation keeps the clip's span too where it is known, so that it finds its sentence
    again after the call is cut anew. `source` says where it came from.
    """

    annotator: str
    label: str
    clip_id: str | None = None
    call_id: str | None = None
    customer_id: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    note: str = ""
    source: str = ""
    created_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.clip_id is None and self.span is None:
            raise ValueError("an annotation needs a clip_id, or call_id, start_s and end_s")

    @property
    def span(self) -> tuple[str, float, float] | None:
        """(call_id, start_s, end_s) where all three are known."""
        if self.call_id is None or self.start_s is None or self.end_s is None:
            return None
        return self.call_id, self.start_s, self.end_s

    @property
    def sort_time(self) -> datetime:
        """`created_at`; what has none comes before everything else."""
        return self.created_at or datetime.min.replace(tzinfo=UTC)

    @property
    def target(self) -> str:
        """What is annotated, as one text; times count in milliseconds."""
        if self.clip_id is not None:
            return f"clip:{self.clip_id}"
        call_id, start_s, end_s = self.span or ("", 0.0, 0.0)
        return f"span:{round(start_s * 1000)}:{round(end_s * 1000)}:{call_id}"


@dataclass(frozen=True, slots=True)
class SaveCounts:
    """What saving did; an annotation already there counts as updated only if something differs."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0


class AnnotationRepository:
    """Annotations, one for each target and annotator; the last one saved stands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, annotations: Iterable[Annotation]) -> SaveCounts:
        """Save all or, on an error, none. Of several on one target by one annotator the last stays.

        Saving the same annotations again changes nothing, the time of creation included.
        """
        wanted = {(item.target, item.annotator): item for item in annotations}
        now = datetime.now(UTC)
        added = updated = 0
        with self._database.write() as session:
            for keys in chunks(sorted(wanted)):
                stored = _stored(session, {target for target, _ in keys})
                fresh = [wanted[key] for key in keys if key not in stored]
                if fresh:
                    session.execute(insert(AnnotationRow), [_values(item, now) for item in fresh])
                added += len(fresh)
                for key in keys:
                    if key in stored:
                        updated += _update(session, *stored[key], wanted[key])
        return SaveCounts(added, updated, len(wanted) - added - updated)

    def all(self) -> Iterator[Annotation]:
        """Every annotation in the order of saving, streamed."""
        with self._database.read() as session:
            query = select(*_COLUMNS).order_by(AnnotationRow.id)
            rows = session.execute(query.execution_options(yield_per=1000)).mappings()
            for row in rows:
                yield _annotation(row)

    def count(self) -> int:
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(AnnotationRow)) or 0

    def link(self, customer_of_call: Mapping[str, str]) -> int:
        """Note the customer of annotations that lack it; the number of annotations mended.

        Calls that are not in the mapping are left as they are.
        """
        mended = 0
        with self._database.write() as session:
            query = select(AnnotationRow.call_id).distinct()
            query = query.where(
                AnnotationRow.customer_id.is_(None), AnnotationRow.call_id.is_not(None)
            )
            for call_id in session.scalars(query).all():
                if call_id is None or call_id not in customer_of_call:
                    continue
                result = session.execute(
                    update(AnnotationRow)
                    .where(AnnotationRow.call_id == call_id, AnnotationRow.customer_id.is_(None))
                    .values(customer_id=customer_of_call[call_id])
                )
                mended += affected(result)
        return mended

    def withdraw(self, target: str, annotator: str) -> bool:
        """Delete what one annotator said of one target; whether there was anything."""
        with self._database.write() as session:
            query = delete(AnnotationRow).where(
                AnnotationRow.target == target, AnnotationRow.annotator == annotator
            )
            return affected(session.execute(query)) > 0

    def expire(self, before: datetime, dry_run: bool = False) -> int:
        """Delete what was said before a time; how many. `dry_run`: only how many."""
        old = AnnotationRow.created_at < before
        if dry_run:
            with self._database.read() as session:
                return session.scalar(select(func.count()).where(old)) or 0
        with self._database.write() as session:
            deleted = affected(session.execute(delete(AnnotationRow).where(old)))
        self._database.flush_deleted()
        return deleted

    def forget(self, session: Session, customer_id: str, call_ids: Collection[str]) -> int:
        """Delete a customer's annotations within the caller's transaction."""
        by_customer = delete(AnnotationRow).where(AnnotationRow.customer_id == customer_id)
        deleted = affected(session.execute(by_customer))
        for calls in chunks(sorted(call_ids)):
            by_call = delete(AnnotationRow).where(AnnotationRow.call_id.in_(calls))
            deleted += affected(session.execute(by_call))
        return deleted


def _stored(
    session: Session, targets: Collection[str]
) -> dict[tuple[str, str], tuple[int, Annotation]]:
    query = select(AnnotationRow.id, *_COLUMNS).where(AnnotationRow.target.in_(targets))
    stored = {}
    for row in session.execute(query).mappings():
        item = _annotation(row)
        stored[item.target, item.annotator] = (int(row["id"]), item)
    return stored


def _update(session: Session, row_id: int, old: Annotation, new: Annotation) -> int:
    """Write what the new annotation says over the old one; 1 if anything differs, else 0.

    What the new one does not know (its call, its times) is kept.
    """
    merged = replace(
        new,
        call_id=new.call_id or old.call_id,
        customer_id=new.customer_id or old.customer_id,
        start_s=old.start_s if new.start_s is None else new.start_s,
        end_s=old.end_s if new.end_s is None else new.end_s,
        created_at=new.created_at or old.created_at,
    )
    if merged == old:
        return 0
    values = _values(merged, datetime.now(UTC))
    session.execute(update(AnnotationRow).where(AnnotationRow.id == row_id).values(values))
    return 1


def _values(item: Annotation, now: datetime) -> dict[str, Any]:
    return {
        "target": item.target,
        "annotator": item.annotator,
        "label": item.label,
        "clip_id": item.clip_id,
        "call_id": item.call_id,
        "customer_id": item.customer_id,
        "start_s": item.start_s,
        "end_s": item.end_s,
        "note": item.note,
        "source": item.source,
        "created_at": item.created_at or now,
    }


def _annotation(row: RowMapping) -> Annotation:
    return Annotation(**{column.key: row[column.key] for column in _COLUMNS})
