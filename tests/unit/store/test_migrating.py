"""From every released schema to every other, with rows in every table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.store.database import Database
from persona_ray.store.dump import count_rows, dump_rows
from persona_ray.store.migrating import EMPTY, Schema
from persona_ray.store.urls import expand_url
from tests.unit.store.rows import ROWS, fill, tables

REVISIONS = Schema().revisions


@pytest.fixture
def database(empty_url: str) -> Iterator[Database]:
    opened = Database(expand_url(empty_url))
    yield opened
    opened.close()


def content(database: Database, folder: Path) -> object:
    """Every row; of PostgreSQL how many each table has: what becomes of them is SQLAlchemy's."""
    if database.engine.dialect.name == "postgresql":
        return count_rows(database).tables
    folder.mkdir()
    dump_rows(database, folder, lambda _: None)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_rows_of_every_schema_go_forward_and_come_back(database: Database, tmp_path: Path) -> None:
    schema = Schema()
    there: dict[str, object] = {}
    columns: dict[str, list[str]] = {}
    for revision in REVISIONS:
        with database.exclusive() as connection:
            schema.upgrade(connection, revision)
            now = {table.name: table for table in tables(connection)}
            known = {name: list(table.columns.keys()) for name, table in now.items()}
            # Rows of earlier schemas stay, where nothing is new in their tables.
            new = [now[name] for name, names in known.items() if columns.get(name) != names]
            for table in new:
                connection.execute(table.delete())
            fill(connection, new)
            columns = known
        there[revision] = content(database, tmp_path / revision)
    for revision in REVISIONS[-2::-1]:
        with database.exclusive() as connection:
            schema.downgrade(connection, revision)
            assert schema.current(connection, "") == revision
        assert content(database, tmp_path / f"{revision} again") == there[revision]
    assert set(count_rows(database).tables.values()) == {ROWS}
    with database.exclusive() as connection:
        schema.downgrade(connection, EMPTY)
        assert tables(connection) == []


def test_what_a_release_reads_and_writes_stays_as_it_was(database: Database) -> None:
    """Processes of the release before go on while a new one migrates: nothing they know goes, and
    nothing is wanted of them that they do not know."""
    schema = Schema()
    before: dict[str, dict[str, tuple[str, bool]]] = {}
    for revision in REVISIONS:
        with database.exclusive() as connection:
            schema.upgrade(connection, revision)
            now = {
                table.name: {c.name: (str(c.type), bool(c.nullable)) for c in table.columns}
                for table in tables(connection)
            }
            given = {
                (table.name, c.name)
                for table in tables(connection)
                for c in table.columns
                if c.nullable or c.server_default is not None
            }
        for name, columns in before.items():
            assert columns.items() <= now[name].items(), (revision, name)
            new = now[name].keys() - columns.keys()
            assert {(name, column) for column in new} <= given, (revision, name)
        before = now
