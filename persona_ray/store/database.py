"""Connections: one transaction to read, one exclusive transaction to write."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Result, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from persona_ray.errors import ConfigError, StoreError
from persona_ray.store.postgresql import postgresql_engine
from persona_ray.store.urls import expand_url, printable_url, reason_of

ItemT = TypeVar("ItemT")

BUSY_TIMEOUT_S = 60.0
# So long a reading of the server's clock is carried on.
_READING_S = 60.0
# SQLite builds of old take at most 999 variables in one statement.
_CHUNK = 500
# Any fixed number will do: it names the product's lock among PostgreSQL's advisory locks.
_ADVISORY_LOCK = 0x7065_7273_6F6E_61
_EXCLUSIVE = "persona_ray_exclusive"
_TOLD = "persona_ray_told"


class Database:
    """An engine with the kinds of transactions that repositories use.

    Writers queue for one another (SQLite: BEGIN IMMEDIATE; PostgreSQL: an advisory lock), so a
    transaction may read, decide and write without seeing the ground move. Readers never wait.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._reading = (-math.inf, datetime.min.replace(tzinfo=UTC))
        of_file = url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if of_file else postgresql_engine(url)

    def __str__(self) -> str:
        """For messages: the password is hidden."""
        return printable_url(self.url)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Raises StoreError where the database fails (gone, full, damaged, locked too long)."""
        with self._failures_named(), Session(self.engine) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that sees the database as it stood at one moment, however long it reads.
        Raises StoreError as `read`."""
        with self._failures_named(), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose transaction commits at the end and rolls back on an error."""
        with self.exclusive() as connection, Session(connection) as session:
            yield session
            session.flush()
            told = session.info.get(_TOLD, ())
        for tell in told:
            tell()

    @contextmanager
    def write_row(self) -> Iterator[Session]:
        """The same for what stands or falls with one row, which it locks first (`UPDATE`, or
        `with_for_update`): on PostgreSQL it does not queue with the writers of other rows, nor with
        `write`, where such a row is read with its lock before anything is decided by it."""
        with self._transaction() as connection, Session(connection) as session:
            yield session
            session.flush()

    @contextmanager
    def exclusive(self) -> Iterator[Connection]:
        """The connection of the only transaction that may write; StoreError as in `read`."""
        with self._transaction() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
                )
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One that may write; SQLite has no other beside it."""
        with self._failures_named(), self.engine.connect() as connection:
            connection.execution_options(**{_EXCLUSIVE: True})
            with connection.begin():
                yield connection

    def now(self) -> datetime:
        """The time for all who share the database: its server's, for machines' clocks differ. Not
        for use in a transaction, since it may ask. Raises StoreError.

        A reading is carried on by the monotonic clock, for a minute. SQLite has the clock of the
        one machine that it is for.
        """
        if self.engine.dialect.name == "sqlite":
            return datetime.now(UTC)
        read_at, time_then = self._reading
        if time.monotonic() - read_at > _READING_S:
            with self.read() as session:
                time_then = session.execute(text("SELECT clock_timestamp()")).scalar_one()
            read_at = time.monotonic()
            self._reading = read_at, time_then
        return time_then.astimezone(UTC) + timedelta(seconds=time.monotonic() - read_at)

    def flush_deleted(self) -> None:
        """Take deleted rows out of SQLite's write-ahead log too."""
        if self.engine.dialect.name == "sqlite":
            with self._failures_named(), self.engine.connect() as connection:
                autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
                autocommit.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError) as error:
            raise StoreError(f"store {self}: {reason_of(error, self.url)}") from None


@contextmanager
def connected(url: str) -> Iterator[Database]:
    """The database of `store.url`, as it is: nothing is made or migrated but SQLite's empty file.
    Raises ConfigError for a bad URL, StoreError where it cannot be made."""
    database = open_database(url)
    try:
        yield database
    finally:
        database.close()


def open_database(url: str) -> Database:
    """The same, for those who close it themselves."""
    parsed = expand_url(url)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(
            f"store.url {printable_url(parsed)}: the store is kept in sqlite or postgresql"
        )
    try:
        return Database(parsed)
    except OSError as error:
        raise StoreError(f"store {printable_url(parsed)} cannot be made: {error}") from None


def told_after(session: Session, tell: Callable[[], None]) -> None:
    """Call `tell` once the transaction of `Database.write` is committed; not if it fails."""
    session.info.setdefault(_TOLD, []).append(tell)


def _sqlite_engine(url: URL) -> Engine:
    connect_args: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S}
    if url.database in (None, "", ":memory:"):
        # Every connection to :memory: is a database of its own, so there must be only one.
        connect_args["check_same_thread"] = False
        engine = create_engine(url, connect_args=connect_args, poolclass=StaticPool)
    else:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, connect_args=connect_args)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:
    # The driver's own transaction handling begins too late to lock before the first read.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    cursor.execute("PRAGMA foreign_keys = ON")
    # A forgotten customer's rows are overwritten, not only unlinked.
    cursor.execute("PRAGMA secure_delete = ON")
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """SQLite does not wait by itself when two processes switch a new file at the same time."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _begin_sqlite(connection: Connection) -> None:
    exclusive = connection.get_execution_options().get(_EXCLUSIVE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if exclusive else "BEGIN")


def affected(result: Result[Any]) -> int:
    """Rows that an UPDATE or DELETE touched."""
    if not isinstance(result, CursorResult):
        raise TypeError(f"{type(result).__name__} is not the result of an UPDATE or DELETE")
    return result.rowcount


def chunks(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    """Slices that fit the variables of one statement."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
