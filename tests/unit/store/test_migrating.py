"""From every released schema to every other, with rows in every table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData, Table

from persona_ray.store.database import Database
from persona_ray.store.dump import dump_rows
from persona_ray.store.migrating import EMPTY, Schema
from persona_ray.store.urls import expand_url
from tests.unit.store.rows import ROWS, fill

REVISIONS = Schema().revisions


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    opened = Database(expand_url(store_url))
    yield opened
    opened.close()


def dumped(database: Database, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    dump_rows(database, folder, lambda _: None)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_go_forward_and_come_back(revision: str, tmp_path: Path) -> None:
    database = Database(expand_url(f"sqlite:///{tmp_path / 'store.sqlite'}"))
    schema = Schema()
    with database.exclusive() as connection:
        schema.upgrade(connection, revision)
        fill(connection)
    before = dumped(database, tmp_path / "before")
    with database.exclusive() as connection:
        schema.upgrade(connection)
    after = dumped(database, tmp_path / "head")
    # What is new may be more; what was there is as it was.
    assert before.keys() <= after.keys()
    with database.exclusive() as connection:
        schema.downgrade(connection, revision)
        assert schema.current(connection, "") == revision
    assert dumped(database, tmp_path / "back") == before
    database.close()


def test_rows_of_the_head_go_back_step_by_step(database: Database) -> None:
    schema = Schema()
    with database.exclusive() as connection:
        schema.upgrade(connection)
        fill(connection)
    for revision in REVISIONS[-2::-1]:
        with database.exclusive() as connection:
            schema.downgrade(connection, revision)
            left = tables(connection)
            assert {len(connection.execute(table.select()).all()) for table in left} == {ROWS}
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


def tables(connection: Connection) -> list[Table]:
    metadata = MetaData()
    metadata.reflect(bind=connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]
