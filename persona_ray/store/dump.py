"""Every row of a database as files, and back, into SQLite or PostgreSQL alike.

A table is a file `NAME.jsonl.gz`: a line with its columns and their kinds, then a line for each
row, in the order of the primary key, so that the same rows give the same bytes. Tables are taken as
the database describes them, not as this release does: a dump of an older release comes back at its
own revision, and is migrated then. What is sealed stays sealed.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
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
from persona_ray.store.migrating import EMPTY, Schema

SUFFIX = ".jsonl.gz"
# Alembic's own table: the revision stands in the dump's own words.
_REVISION_TABLE = "alembic_version"
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
        return Dump(_revision(database, connection), _counts(connection))


def dump_rows(database: Database, folder: Path, advance: Advance) -> Dump:
    """Write every table to `folder`, as the database stands at one moment; `advance` hears of rows.
    Raises StoreError where the database fails or holds no table of ours."""
    with database.snapshot() as connection:
        revision = _revision(database, connection)
        if revision == EMPTY:
            raise StoreError(f"store {database} holds nothing: there are no tables")
        tables = {
            table.name: _write_table(connection, table, folder, advance)
            for table in _reflect(connection)
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
        if schema.current(connection, str(database)) != EMPTY:
            held = sum(_counts(connection).values())
            if held and not replace:
                raise StoreError(
                    f"store {database} holds {held} rows: name an empty one, or say --replace to "
                    "give them up"
                )
            _drop(connection)
        schema.upgrade(connection, dump.revision)
        tables = {table.name: table for table in _reflect(connection)}
        # In the order in which foreign keys can be met.
        for name, table in tables.items():
            rows = _read_table(connection, table, folder / f"{name}{SUFFIX}", advance)
            if rows != dump.tables.get(name):
                raise BackupError(f"{name}{SUFFIX} is damaged: {rows} rows of a promised number")
        _go_on_counting(connection, list(tables.values()))
        schema.upgrade(connection)


def tables_of(connection: Connection) -> set[str]:
    """Names of our tables in the database."""
    return {table.name for table in _reflect(connection)}


def _revision(database: Database, connection: Connection) -> str:
    return Schema().current(connection, str(database))


def _reflect(connection: Connection) -> list[Table]:
    metadata = MetaData()
    metadata.reflect(bind=connection)
    return [table for table in metadata.sorted_tables if table.name != _REVISION_TABLE]


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in _reflect(connection)
    }


def _drop(connection: Connection) -> None:
    metadata = MetaData()
    metadata.reflect(bind=connection)
    metadata.drop_all(connection)


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
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            head = [(name, Kind(kind)) for name, kind in json.loads(file.readline())]
            while some := list(islice(_lines(file), _ROWS_AT_ONCE)):
                values = [
                    {
                        name: _meant(value, kind, sqlite)
                        for (name, kind), value in zip(head, line, strict=True)
                    }
                    for line in some
                ]
                connection.execute(table.insert(), values)
                rows += len(values)
                advance(len(values))
    except (ValueError, OSError, EOFError) as error:
        raise BackupError(f"{path.name} is damaged: {type(error).__name__}") from None
    return rows


def _lines(file: IO[str]) -> Iterator[list[Any]]:
    for line in file:
        yield json.loads(line)


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
