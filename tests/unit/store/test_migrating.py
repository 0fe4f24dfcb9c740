"""From every released schema to every other, with rows in every table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.store.database import Database
from persona_ray.store.dump import dump_rows
from persona_ray.store.migrating import EMPTY, Schema
from persona_ray.store.urls import expand_url
from tests.unit.store.rows import ROWS, fill, tables

REVISIONS = Schema().revisions


@pytest.fixture
def database(empty_url: str) -> Iterator[Database]:
    opened = Database(expand_url(empty_url))
    yield opened
    opened.close()


def dumped(database: Database, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    dump_rows(database, folder, lambda _: None)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_rows_of_every_schema_go_forward_and_come_back(database: Database, tmp_path: Path) -> None:
    schema = Schema()
    there: dict[str, dict[str, bytes]] = {}
    columns: dict[str, list[str]] = {}
    for revision in REVISIONS:
        with database.exclusive() as connection:
            schema.upgrade(connection, revision)
            now = {table.name: list(table.columns.keys()) for table in tables(connection)}
            # Rows of earlier schemas stay, where nothing is new in their tables.
            old = {name for name, names in now.items() if columns.get(name) == names}
            for name in columns.keys() & now.keys() - old:
                connection.exec_driver_sql(f"DELETE FROM {name}")
            fill(connection, but=old)
            columns = now
        there[revision] = dumped(database, tmp_path / revision)
    for revision in REVISIONS[-2::-1]:
        with database.exclusive() as connection:
            schema.downgrade(connection, revision)
            assert schema.current(connection, "") == revision
            left = tables(connection)
            assert {len(connection.execute(table.select()).all()) for table in left} == {ROWS}
        assert dumped(database, tmp_path / f"{revision} again") == there[revision]
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
