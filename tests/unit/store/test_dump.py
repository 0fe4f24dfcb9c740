"""A store as files, and back, from either database into either."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from persona_ray.errors import BackupError, StoreError
from persona_ray.store import Annotation, open_store
from persona_ray.store.database import Database
from persona_ray.store.dump import Dump, count_rows, dump_rows, restore_rows
from persona_ray.store.migrating import Schema
from persona_ray.store.urls import expand_url
from tests.unit.store.rows import ROWS, fill


@pytest.fixture
def filled(store_url: str) -> Iterator[Database]:
    """With rows in every table."""
    database = Database(expand_url(store_url))
    with database.exclusive() as connection:
        fill(connection)
    yield database
    database.close()


def sqlite(path: Path) -> Database:
    return Database(expand_url(f"sqlite:///{path}"))


def dumped(database: Database, folder: Path) -> tuple[Dump, dict[str, bytes]]:
    folder.mkdir()
    seen: list[int] = []
    found = dump_rows(database, folder, seen.append)
    assert sum(seen) == found.rows == count_rows(database).rows
    return found, {file.name: file.read_bytes() for file in folder.iterdir()}


def restore(database: Database, folder: Path, dump: Dump, replace: bool = False) -> None:
    restore_rows(database, folder, dump, replace, lambda _: None)


def test_every_row_comes_back_whichever_database_it_was(filled: Database, tmp_path: Path) -> None:
    dump, files = dumped(filled, tmp_path / "first")
    assert set(dump.tables.values()) == {ROWS}
    assert len(dump.tables) > 30
    other = sqlite(tmp_path / "other.sqlite")
    restore(other, tmp_path / "first", dump)
    again, there = dumped(other, tmp_path / "second")
    restore(filled, tmp_path / "second", again, replace=True)
    back, here = dumped(filled, tmp_path / "third")
    assert dump == again == back
    kinds = {name: gzip.decompress(content).splitlines()[1:] for name, content in files.items()}
    assert kinds == {n: gzip.decompress(content).splitlines()[1:] for n, content in there.items()}
    assert files == here


def test_new_rows_are_numbered_behind_those_that_came_back(store_url: str, tmp_path: Path) -> None:
    with open_store(store_url) as store:
        store.annotations.save([Annotation(annotator="wang", label="red", clip_id="c1")])
    database = Database(expand_url(store_url))
    dump, _ = dumped(database, tmp_path / "dump")
    restore(database, tmp_path / "dump", dump, replace=True)
    database.close()
    with open_store(store_url) as store:
        store.annotations.save([Annotation(annotator="wang", label="blue", clip_id="c2")])
        assert {item.label for item in store.annotations.all()} == {"red", "blue"}


def test_an_older_dump_is_migrated(tmp_path: Path) -> None:
    old = sqlite(tmp_path / "old.sqlite")
    with old.exclusive() as connection:
        Schema().upgrade(connection, "0003")
        fill(connection)
    dump, _ = dumped(old, tmp_path / "dump")
    new = sqlite(tmp_path / "new.sqlite")
    restore(new, tmp_path / "dump", dump)
    found = count_rows(new)
    assert (dump.revision, found.revision) == ("0003", Schema().head)
    assert {name: found.tables[name] for name in dump.tables} == dump.tables


def test_rows_that_are_there_are_not_given_up_unasked(filled: Database, tmp_path: Path) -> None:
    dump, files = dumped(filled, tmp_path / "dump")
    with pytest.raises(StoreError, match=r"holds \d+ rows.*--replace"):
        restore(filled, tmp_path / "dump", dump)
    assert dumped(filled, tmp_path / "after")[1] == files


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _shorten(path: Path) -> None:
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[:-1])))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20:40] = b"\xff" * 20
    path.write_bytes(content)


def _disorder(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"17\n"))


HARMS: tuple[Callable[[Path], object], ...] = (
    Path.unlink,
    _cut,
    _shorten,
    _flip,
    _disorder,
    lambda path: path.write_bytes(b"no archive"),
)


def test_a_damaged_dump_leaves_all_as_it_was(filled: Database, tmp_path: Path) -> None:
    dump, files = dumped(filled, tmp_path / "dump")
    path = tmp_path / "dump" / "jobs.jsonl.gz"
    # Files are read alike from both; PostgreSQL has to take back what came before.
    for harm in HARMS if filled.engine.dialect.name == "sqlite" else HARMS[:1]:
        path.write_bytes(files[path.name])
        harm(path)
        with pytest.raises(BackupError, match=r"jobs\.jsonl\.gz is damaged"):
            restore(filled, tmp_path / "dump", dump, replace=True)
    assert dumped(filled, tmp_path / "after")[1] == files


def test_what_others_keep_in_the_database_is_let_be(filled: Database, tmp_path: Path) -> None:
    with filled.exclusive() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (word TEXT)")
        connection.exec_driver_sql("INSERT INTO theirs VALUES ('word')")
    dump, files = dumped(filled, tmp_path / "dump")
    assert "theirs" not in dump.tables
    restore(filled, tmp_path / "dump", dump, replace=True)
    assert dumped(filled, tmp_path / "after")[1] == files
    with filled.exclusive() as connection:
        assert connection.exec_driver_sql("SELECT word FROM theirs").scalar_one() == "word"
        connection.exec_driver_sql("DROP TABLE theirs")


def test_a_dump_of_a_newer_release_is_refused(filled: Database, tmp_path: Path) -> None:
    dump, _ = dumped(filled, tmp_path / "dump")
    newer = dataclasses.replace(dump, revision="9999")
    with pytest.raises(StoreError, match="no revision '9999'"):
        restore(filled, tmp_path / "dump", newer, replace=True)


def test_nothing_is_no_dump(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds nothing"):
        dump_rows(sqlite(tmp_path / "none.sqlite"), tmp_path, lambda _: None)
