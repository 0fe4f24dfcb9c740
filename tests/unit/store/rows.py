"""Rows for any table, made of what the database says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
)

ROWS = 3
_START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def tables(connection: Connection) -> list[Table]:
    """All but Alembic's, in the order in which foreign keys can be met."""
    metadata = MetaData()
    metadata.reflect(bind=connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def fill(connection: Connection, wanted: Iterable[Table] | None = None) -> None:
    """So many rows in every table, or in those wanted: equal ones for equal columns."""
    for table in tables(connection) if wanted is None else wanted:
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JSON(none_as_null=True)
        rows = [_row(table, number, connection.dialect.name) for number in range(ROWS)]
        connection.execute(table.insert(), rows)


def _row(table: Table, number: int, dialect: str) -> dict[str, Any]:
    return {column.name: _value(column, number, dialect) for column in table.columns}


def _value(column: Column[Any], number: int, dialect: str) -> Any:
    # Named alike in both tables of a foreign key, so that it is met.
    of = f"{column.name} {number} 客户"
    if column.nullable and number == 0 and not column.foreign_keys:
        return None
    if isinstance(column.type, Boolean):
        return bool(number % 2)
    if isinstance(column.type, Integer):
        return number + 1
    if isinstance(column.type, Float):
        return number + 1 / 3
    if isinstance(column.type, DateTime):
        at = _START + timedelta(days=number)
        return at.replace(tzinfo=None) if dialect == "sqlite" else at
    if isinstance(column.type, LargeBinary):
        return hashlib.sha256(of.encode()).digest()
    if isinstance(column.type, JSON):
        return {of: [number, None, 0.1]} if number != 1 or not column.nullable else JSON.NULL
    return of
