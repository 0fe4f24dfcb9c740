"""What a device keeps: an SQLite file. An update is one transaction, so that a device that is
switched off in the middle of it holds what it held before."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from persona_ray.errors import DistributionError
from persona_ray.serving.screening.statements import Act, Changed, Held, Payload
from persona_ray.vault.signing import Trusted

_TABLES = """
CREATE TABLE IF NOT EXISTS trusted (number INTEGER, key_id TEXT, public BLOB);
CREATE TABLE IF NOT EXISTS libraries (
    name TEXT PRIMARY KEY, owner TEXT, generation INTEGER, version INTEGER, link TEXT,
    etag TEXT, confirmed_at TEXT
);
CREATE TABLE IF NOT EXISTS drafts (
    name TEXT PRIMARY KEY, owner TEXT, generation INTEGER, version INTEGER, link TEXT, cursor TEXT
);
CREATE TABLE IF NOT EXISTS entries (
    generation INTEGER, key TEXT, payload TEXT, PRIMARY KEY (generation, key)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A library on the device. `confirmed_at`: when the service last said, signed, that this was
    its version."""

    owner: str
    generation: int
    version: int
    link: str
    etag: str
    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """A snapshot that is being fetched, as far as the place `cursor`."""

    owner: str
    generation: int
    version: int
    link: str
    cursor: str


class DeviceStore:
    """The libraries of a device, by name. Not for several threads."""

    def __init__(self, path: Path) -> None:
        """Raises DistributionError where there is another file, or a damaged one."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Numbers of people: for the owner of the device alone.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        with self._failures_named():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.executescript(_TABLES)

    def close(self) -> None:
        self._connection.close()

    def trusted(self) -> Trusted | None:
        """The key that this device has pinned; None before the first contact."""
        rows = self._rows("SELECT number, key_id, public FROM trusted")
        return Trusted(*rows[0]) if rows else None

    def trust(self, key: Trusted) -> None:
        with self._change():
            self._connection.execute("DELETE FROM trusted")
            self._run("INSERT INTO trusted VALUES (?, ?, ?)", key.number, key.key_id, key.public)

    def library(self, name: str) -> Kept | None:
        """None where nothing was fetched yet."""
        columns = "owner, generation, version, link, etag, confirmed_at"
        rows = self._rows(f"SELECT {columns} FROM libraries WHERE name = ?", name)
        if not rows:
            return None
        owner, generation, version, link, etag, confirmed_at = rows[0]
        return Kept(owner, generation, version, link, etag, datetime.fromisoformat(confirmed_at))

    def count(self, name: str) -> int:
        """Entries of a library."""
        kept = self.library(name)
        query = "SELECT COUNT(*) FROM entries WHERE generation = ?"
        return int(self._rows(query, kept.generation)[0][0]) if kept else 0

    def find(self, name: str, key: str) -> Payload | None:
        """What a library says of a key; None where it is not in it."""
        query = (
            "SELECT payload FROM entries JOIN libraries USING (generation) "
            "WHERE libraries.name = ? AND entries.key = ?"
        )
        rows = self._rows(query, name, key)
        return dict(json.loads(rows[0][0])) if rows else None

    def confirm(self, name: str, etag: str, at: datetime) -> None:
        """The service has just said that the device is where it is itself."""
        with self._change():
            query = "UPDATE libraries SET etag = ?, confirmed_at = ? WHERE name = ?"
            self._run(query, etag, at.isoformat(), name)

    def apply(self, name: str, kept: Kept, changes: Sequence[Changed], to: int, link: str) -> None:
        """Bring a library from where `kept` found it to version `to`, whole or not at all.

        Raises DistributionError where another process has moved it meanwhile.
        """
        with self._change():
            now = self.library(name)
            if now is None or (now.generation, now.version) != (kept.generation, kept.version):
                raise DistributionError("busy", f"another process updates {self._path}: try again")
            for change in changes:
                if change.act is Act.PUT:
                    self._put(kept.generation, [Held(key=change.key, payload=change.payload or {})])
                else:
                    query = "DELETE FROM entries WHERE generation = ? AND key = ?"
                    self._run(query, kept.generation, change.key)
            query = "UPDATE libraries SET version = ?, link = ?, etag = '' WHERE name = ?"
            self._run(query, to, link, name)

    def draft(self, name: str) -> Draft | None:
        """A snapshot that was begun and not ended."""
        columns = "owner, generation, version, link, cursor"
        rows = self._rows(f"SELECT {columns} FROM drafts WHERE name = ?", name)
        return Draft(*rows[0]) if rows else None

    def begin(self, name: str, owner: str, version: int, link: str) -> Draft:
        """A new draft; one that was begun is dropped."""
        with self._change():
            self._drop(name)
            last = self._rows(
                "SELECT MAX(generation) FROM (SELECT generation FROM libraries UNION ALL "
                "SELECT generation FROM drafts)"
            )
            draft = Draft(owner, int(last[0][0] or 0) + 1, version, link, "")
            self._run(
                "INSERT INTO drafts VALUES (?, ?, ?, ?, ?, ?)",
                *(name, owner, draft.generation, version, link, ""),
            )
        return draft

    def extend(self, name: str, draft: Draft, entries: Sequence[Held], cursor: str) -> None:
        """Add a page to a draft."""
        with self._change():
            self._put(draft.generation, entries)
            self._run("UPDATE drafts SET cursor = ? WHERE name = ?", cursor, name)

    def finish(self, name: str, draft: Draft, entries: Sequence[Held], at: datetime) -> None:
        """Add the last page: the draft is the library now, what was there before is gone."""
        with self._change():
            self._put(draft.generation, entries)
            before = self.library(name)
            if before is not None:
                query = "DELETE FROM entries WHERE generation = ?"
                self._run(query, before.generation)
            self._run(
                "INSERT OR REPLACE INTO libraries VALUES (?, ?, ?, ?, ?, '', ?)",
                *(name, draft.owner, draft.generation, draft.version, draft.link, at.isoformat()),
            )
            self._run("DELETE FROM drafts WHERE name = ?", name)

    def _drop(self, name: str) -> None:
        draft = self.draft(name)
        if draft is not None:
            self._run("DELETE FROM entries WHERE generation = ?", draft.generation)
            self._run("DELETE FROM drafts WHERE name = ?", name)

    def _put(self, generation: int, entries: Sequence[Held]) -> None:
        rows = [
            (generation, entry.key, json.dumps(entry.payload, ensure_ascii=False))
            for entry in entries
        ]
        self._connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)

    def _run(self, query: str, *values: object) -> None:
        self._connection.execute(query, values)

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._failures_named():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._failures_named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise DistributionError(
                "store",
                f"{self._path}: {error}: if it is damaged, delete it and sync again; the service's "
                "key is then pinned anew",
            ) from None
