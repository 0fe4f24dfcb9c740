"""Every row of a database as files, and back, into SQLite or PostgreSQL alike.

A table is a file `NAME.jsonl.gz`: a line with its columns and their kinds, then a line for each
row, in the order of the primary key, so that the same rows give the same bytes. Tables are those of
the database's revision, as the database describes them: a dump of an older release comes back at
its own revision, and is migrated then. What is sealed stays sealed, and what others keep in the
same database is let be.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    LargeBinary,
    MetaData,
    Table,
    Text,
    cast,
    func,
    select,
    text,
    type_coerce,
)

from persona_ray.errors import BackupError, StoreError
from persona_ray.store.database import Database
from persona_ray.store.migrating import EMPTY, Schema, tables_at

SUFFIX = ".jsonl.gz"
_ROWS_AT_ONCE = 500

Advance = Callable[[int], None]


class Kind(StrEnum):
    """How a column's values are written."""

    BYTES = "bytes"
    TIME = "time"
    JSON = "json"
    TRUTH = "truth"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Dump:
    """Rows of each table, at a revision of the schema."""

    revision: str
    tables: dict[str, int]

    @property
    def rows(self) -> int:
        return sum(self.tables.values())


def count_rows(database: Database) -> Dump:
    """What a dump would hold."""
    with database.snapshot() as connection:
        revision = _revision(database, connection)
        return Dump(revision, _counts(connection, revision))


def dump_rows(database: Database, folder: Path, advance: Advance) -> Dump:
    """Write every table to `folder`, as the database stands at one moment; `advance` hears of rows.
    Raises StoreError where the database fails or holds no table of ours."""
    with database.snapshot() as connection:
        revision = _revision(database, connection)
        if revision == EMPTY:
            raise StoreError(f"store {database} holds nothing: there are no tables")
        tables = {
            table.name: _write_table(connection, table, folder, advance)
            for table in _reflect(connection, revision)
        }
    return Dump(revision, tables)


def restore_rows(
    database: Database, folder: Path, dump: Dump, replace: bool, advance: Advance
) -> None:
    """Bring the rows of `folder` into the database and the schema up to date, or leave all as it
    was: one transaction.

    Raises StoreError where the database holds rows and not `replace`, or the dump's revision is of
    a newer release; BackupError where the dump is damaged.
    """
    schema = Schema()
    schema.check(dump.revision)
    with database.exclusive() as connection:
        if not replace:
            _check_empty(database, connection)
        schema.downgrade(connection, EMPTY)
        schema.upgrade(connection, dump.revision)
        tables = _reflect(connection, dump.revision)
        for table in tables:
            promised = dump.tables.get(table.name)
            rows = _read_table(connection, table, folder / f"{table.name}{SUFFIX}", advance)
            if rows != promised:
                raise BackupError(f"{table.name}{SUFFIX} is damaged: {rows} of {promised} rows")
        _go_on_counting(connection, tables)
        schema.upgrade(connection)


def check_empty(database: Database) -> None:
    """Raises StoreError where the database holds rows of ours."""
    with database.snapshot() as connection:
        _check_empty(database, connection)


def _check_empty(database: Database, connection: Connection) -> None:
    held = sum(_counts(connection, _revision(database, connection)).values())
    if held:
        raise StoreError(
            f"store {database} holds {held} rows: name an empty one, or say --replace to give "
            "them up"
        )


def _revision(database: Database, connection: Connection) -> str:
    return Schema().current(connection, str(database))


def _reflect(connection: Connection, revision: str) -> list[Table]:
    """Our tables, in the order in which foreign keys can be met."""
    ours, metadata = tables_at(revision), MetaData()
    metadata.reflect(bind=connection, only=lambda name, _: name in ours)
    return metadata.sorted_tables


def _counts(connection: Connection, revision: str) -> dict[str, int]:
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in _reflect(connection, revision)
    }


def _kind(column: Column[Any]) -> Kind:
    kinds = ((LargeBinary, Kind.BYTES), (DateTime, Kind.TIME), (JSON, Kind.JSON))
    for of, kind in kinds:
        if isinstance(column.type, of):
            return kind
    return Kind.TRUTH if isinstance(column.type, Boolean) else Kind.PLAIN


def _write_table(connection: Connection, table: Table, folder: Path, advance: Advance) -> int:
    kinds = [_kind(column) for column in table.columns]
    query = select(
        *(
            _as_text(connection, column) if kind is Kind.JSON else column
            for column, kind in zip(table.columns, kinds, strict=True)
        )
    ).order_by(*table.primary_key.columns)
    query = query.execution_options(yield_per=_ROWS_AT_ONCE)
    rows = 0
    with _packed(folder / f"{table.name}{SUFFIX}") as file:
        head = [[column.name, kind] for column, kind in zip(table.columns, kinds, strict=True)]
        file.write(json.dumps(head) + "\n")
        for part in connection.execute(query).partitions():
            for row in part:
                said = [_said(value, kind) for value, kind in zip(row, kinds, strict=True)]
                file.write(json.dumps(said, ensure_ascii=False) + "\n")
            rows += len(part)
            advance(len(part))
    return rows


def _as_text(connection: Connection, column: Column[Any]) -> Any:
    """JSON as it was written: an absent value and JSON's null are two things."""
    if connection.dialect.name == "sqlite":
        return type_coerce(column, Text())
    return cast(column, Text())


def _said(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    match kind:
        case Kind.BYTES:
            return base64.b64encode(value).decode()
        case Kind.TIME:
            utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return utc.isoformat()
        case _:
            return value


def _meant(value: Any, kind: Kind, sqlite: bool) -> Any:
    if value is None:
        return None
    match kind:
        case Kind.BYTES:
            return base64.b64decode(value)
        case Kind.TIME:
            utc = datetime.fromisoformat(value)
            return utc.replace(tzinfo=None) if sqlite else utc
        case Kind.JSON:
            tree = json.loads(value)
            return JSON.NULL if tree is None else tree
        case _:
            return value


def _read_table(connection: Connection, table: Table, path: Path, advance: Advance) -> int:
    sqlite = connection.dialect.name == "sqlite"
    for column in table.columns:
        if _kind(column) is Kind.JSON:
            column.type = JSON(none_as_null=True)
    rows = 0
    for values in _batches(path, sqlite):
        connection.execute(table.insert(), values)
        rows += len(values)
        advance(len(values))
    return rows


def _batches(path: Path, sqlite: bool) -> Iterator[list[dict[str, Any]]]:
    """Rows by their columns' names, some at a time. Raises BackupError for a damaged file."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            head = [(name, Kind(kind)) for name, kind in json.loads(file.readline())]
            while some := [json.loads(line) for line in islice(file, _ROWS_AT_ONCE)]:
                yield [
                    {
                        name: _meant(value, kind, sqlite)
                        for (name, kind), value in zip(head, line, strict=True)
                    }
                    for line in some
                ]
    except (ValueError, TypeError, OSError, EOFError, zlib.error) as error:
        raise BackupError(f"{path.name} is damaged: {type(error).__name__}") from None


def _go_on_counting(connection: Connection, tables: list[Table]) -> None:
    """PostgreSQL counts new rows by itself, not by those that are there."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        for column in table.primary_key.columns:
            name = f'"{table.name}"', column.name
            sequence = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"),
                {"table": name[0], "column": name[1]},
            ).scalar()
            if sequence is None:
                continue
            last = connection.execute(select(func.max(column))).scalar()
            if last is not None:
                connection.execute(
                    text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last}
                )


@contextmanager
def _packed(path: Path) -> Iterator[IO[str]]:
    """Without the time and the name that gzip would note: equal rows are equal bytes."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8") as text_file,
    ):
        yield text_file
