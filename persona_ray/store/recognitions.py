"""What models said of the archive's calls and customers, each model's answers beside the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from persona_ray.store.annotations import SaveCounts
from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.tables import CallRecognitionRow, CustomerRecognitionRow, RecognitionModelRow
from persona_ray.types import CallStatus, NothingUsable, QuarantineReason, Recognition

_Table = type[CallRecognitionRow] | type[CustomerRecognitionRow]
_TABLES: tuple[_Table, ...] = (CallRecognitionRow, CustomerRecognitionRow)


@dataclass(frozen=True, slots=True)
class RecognitionModel:
    """`fingerprint` is the digest of its bundle; `name` and `version` are the registry's, empty
    where it is none of its versions."""

    fingerprint: str
    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedCall:
    """One call's result. `reason` is set where the call could not be used (`status` quarantined)
    or nobody speaks in it. `recognised_at` None: not saved yet."""

    call_id: str
    customer_id: str
    status: CallStatus
    result: Recognition | NothingUsable
    reason: QuarantineReason | None = None
    flags: tuple[str, ...] = ()
    recognised_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedCustomer:
    """One customer's result over all `calls`, of which `calls_used` had a colour."""

    customer_id: str
    result: Recognition | NothingUsable
    calls: int
    calls_used: int
    recognised_at: datetime | None = None


class RecognitionRepository:
    """One answer for each model and call, one for each model and customer; the last saved stands.

    No text and no audio: what was said is none of the store's business.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_calls(self, model: RecognitionModel, calls: Iterable[ArchivedCall]) -> SaveCounts:
        """All or, on an error, none. What is saved again unchanged keeps its time."""
        rows = {call.call_id: _call_values(model, call) for call in calls}
        with self._database.write() as session:
            _note(session, model)
            return _save(session, CallRecognitionRow.call_id, model.fingerprint, rows)

    def save_customers(
        self, model: RecognitionModel, customers: Iterable[ArchivedCustomer]
    ) -> SaveCounts:
        """As `save_calls`."""
        rows = {customer.customer_id: _customer_values(model, customer) for customer in customers}
        with self._database.write() as session:
            _note(session, model)
            return _save(session, CustomerRecognitionRow.customer_id, model.fingerprint, rows)

    def models(self) -> list[RecognitionModel]:
        """Those that have recognised anything, the first one first."""
        with self._database.read() as session:
            rows = session.scalars(
                select(RecognitionModelRow).order_by(
                    RecognitionModelRow.noted_at, RecognitionModelRow.fingerprint
                )
            )
            return [RecognitionModel(row.fingerprint, row.name, row.version) for row in rows]

    def calls(self, fingerprint: str) -> Iterator[ArchivedCall]:
        """Every call that the model recognised, by customer and call id (code points), streamed."""
        table = CallRecognitionRow
        for row in self._rows(table, fingerprint, table.customer_id, table.call_id):
            yield _call(row)

    def calls_by_customer(self, fingerprint: str) -> Iterator[tuple[str, list[ArchivedCall]]]:
        """The same calls, one customer's together; calls of nobody are left out."""
        for customer_id, calls in groupby(self.calls(fingerprint), key=lambda c: c.customer_id):
            if customer_id:
                yield customer_id, list(calls)

    def customers(self, fingerprint: str) -> Iterator[ArchivedCustomer]:
        """Every customer whom the model recognised, by id (code points), streamed."""
        table = CustomerRecognitionRow
        for row in self._rows(table, fingerprint, table.customer_id):
            yield _customer(row)

    def customer(self, customer_id: str) -> dict[str, ArchivedCustomer]:
        """What each model says of one customer, by the model's fingerprint."""
        table = CustomerRecognitionRow
        with self._database.read() as session:
            query = select(table.__table__).where(table.customer_id == customer_id)
            rows = session.execute(query.order_by(table.fingerprint)).mappings()
            return {row["fingerprint"]: _customer(row) for row in rows}

    def count_calls(self, fingerprint: str) -> int:
        with self._database.read() as session:
            query = select(func.count()).select_from(CallRecognitionRow)
            return session.scalar(query.where(CallRecognitionRow.fingerprint == fingerprint)) or 0

    def clear(self, fingerprint: str) -> int:
        """Delete what one model said; the number of rows."""
        with self._database.write() as session:
            tables = (*_TABLES, RecognitionModelRow)
            return sum(
                affected(session.execute(delete(table).where(table.fingerprint == fingerprint)))
                for table in tables
            )

    def expire(self, before: datetime, dry_run: bool = False) -> int:
        """Delete what was recognised before a time, of calls and customers; how many rows.
        `dry_run`: only how many."""
        rows = 0
        with self._database.read() as session:
            for table in _TABLES:
                old = select(func.count()).where(table.recognised_at < before)
                rows += session.scalar(old) or 0
        if rows and not dry_run:
            with self._database.write() as session:
                for table in _TABLES:
                    session.execute(delete(table).where(table.recognised_at < before))
            self._database.flush_deleted()
        return rows

    def forget(self, session: Session, customer_id: str, call_ids: Collection[str]) -> int:
        """Delete a customer's rows of every model within the caller's transaction."""
        deleted = 0
        for table in _TABLES:
            mine = delete(table).where(table.customer_id == customer_id)
            deleted += affected(session.execute(mine))
        for calls in chunks(sorted(call_ids)):
            by_call = delete(CallRecognitionRow).where(CallRecognitionRow.call_id.in_(calls))
            deleted += affected(session.execute(by_call))
        return deleted

    def _rows(
        self, table: _Table, fingerprint: str, *order: InstrumentedAttribute[str]
    ) -> Iterator[RowMapping]:
        # PostgreSQL sorts by the rules of a language; SQLite, and files, by code points.
        postgres = self._database.engine.dialect.name == "postgresql"
        keys = [column.collate("C") if postgres else column for column in order]
        query = select(table.__table__).where(table.fingerprint == fingerprint).order_by(*keys)
        with self._database.read() as session:
            yield from session.execute(query.execution_options(yield_per=1000)).mappings()


def _note(session: Session, model: RecognitionModel) -> None:
    """A bundle may be registered after it has recognised; what is known is not unlearned."""
    row = session.get(RecognitionModelRow, model.fingerprint)
    if row is None:
        session.add(
            RecognitionModelRow(
                fingerprint=model.fingerprint,
                name=model.name,
                version=model.version,
                noted_at=datetime.now(UTC),
            )
        )
    elif model.version:
        row.name, row.version = model.name, model.version


def _save(
    session: Session,
    key: InstrumentedAttribute[str],
    fingerprint: str,
    rows: Mapping[str, dict[str, Any]],
) -> SaveCounts:
    """`rows` by the value of the column `key`, without their times."""
    table = key.class_
    now = datetime.now(UTC)
    added = updated = 0
    for keys in chunks(sorted(rows)):
        query = select(table.__table__).where(table.fingerprint == fingerprint, key.in_(keys))
        stored = {row[key.key]: dict(row) for row in session.execute(query).mappings()}
        fresh = [{**rows[one], "recognised_at": now} for one in keys if one not in stored]
        if fresh:
            session.execute(insert(table), fresh)
        added += len(fresh)
        for one in keys:
            if one not in stored or {**stored[one], **rows[one]} == stored[one]:
                continue
            session.execute(
                update(table)
                .where(table.fingerprint == fingerprint, key == one)
                .values(**rows[one], recognised_at=now)
            )
            updated += 1
    return SaveCounts(added, updated, len(rows) - added - updated)


def _call_values(model: RecognitionModel, call: ArchivedCall) -> dict[str, Any]:
    return {
        "fingerprint": model.fingerprint,
        "call_id": call.call_id,
        "customer_id": call.customer_id,
        **_answer_values(call.result),
        "status": call.status.value,
        "reason": "" if call.reason is None else call.reason.value,
        "detail": call.result.reason if isinstance(call.result, NothingUsable) else "",
        "flags": list(call.flags),
    }


def _customer_values(model: RecognitionModel, customer: ArchivedCustomer) -> dict[str, Any]:
    result = customer.result
    return {
        "fingerprint": model.fingerprint,
        "customer_id": customer.customer_id,
        **_answer_values(result),
        "reason": result.reason if isinstance(result, NothingUsable) else "",
        "calls": customer.calls,
        "calls_used": customer.calls_used,
    }


def _answer_values(result: Recognition | NothingUsable) -> dict[str, Any]:
    if isinstance(result, NothingUsable):
        nothing = dict.fromkeys(("primary_label", "secondary_label", "probabilities"))
        return {**nothing, "clips": 0}
    return {
        "primary_label": result.primary,
        "secondary_label": result.secondary,
        "probabilities": dict(result.probabilities),
        "clips": result.clips,
    }


def _call(row: RowMapping) -> ArchivedCall:
    return ArchivedCall(
        call_id=row["call_id"],
        customer_id=row["customer_id"],
        result=_result(row, row["detail"]),
        status=CallStatus(row["status"]),
        reason=QuarantineReason(row["reason"]) if row["reason"] else None,
        flags=tuple(row["flags"]),
        recognised_at=row["recognised_at"],
    )


def _customer(row: RowMapping) -> ArchivedCustomer:
    return ArchivedCustomer(
        customer_id=row["customer_id"],
        result=_result(row, row["reason"]),
        calls=row["calls"],
        calls_used=row["calls_used"],
        recognised_at=row["recognised_at"],
    )


def _result(row: RowMapping, why: str) -> Recognition | NothingUsable:
    if row["probabilities"] is None:
        return NothingUsable(why)
    return Recognition(dict(row["probabilities"]), clips=row["clips"])
