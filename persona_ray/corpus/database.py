"""Opening the business database to read, and saying what went wrong without passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from persona_ray.errors import ArchiveError
from persona_ray.store.postgresql import Reconnect
from persona_ray.store.urls import printable_url, reason_of


class BusinessDatabase:
    """Read-only connections to one URL. Pickles; its text never shows the password."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._reconnect = Reconnect()

    def __str__(self) -> str:
        return printable_url(self._url)

    def __repr__(self) -> str:
        return f"BusinessDatabase({self})"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection that cannot write. ArchiveError where there is none to be had."""
        self._check_file()
        # No pool: the connection goes with the walk that opened it.
        engine = create_engine(self._url, poolclass=NullPool)
        if engine.dialect.name == "postgresql":
            # A build of days outlives a restart between two pages.
            event.listen(engine, "do_connect", self._reconnect)
        with ExitStack() as stack:
            stack.callback(engine.dispose)
            try:
                connection = stack.enter_context(engine.connect())
                if engine.dialect.name == "postgresql":
                    connection = connection.execution_options(postgresql_readonly=True)
                if engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("PRAGMA query_only = ON")
                    # SQLite looks at the file at the first real question only.
                    connection.exec_driver_sql("PRAGMA schema_version")
            except SQLAlchemyError as error:
                raise ArchiveError(
                    f"cannot read the business database {self}: {self.explain(error)}"
                ) from None
            yield connection

    def explain(self, error: SQLAlchemyError) -> str:
        """What went wrong, on one line, without statement and password."""
        return reason_of(error, self._url)

    def _check_file(self) -> None:
        """SQLite would make an empty database where none is."""
        path = self._url.database
        if self._url.get_backend_name() != "sqlite" or not path or path.startswith("file:"):
            return
        if path != ":memory:" and not Path(path).is_file():
            raise ArchiveError(
                f"the business database {path} does not exist: set archive.url "
                f"(now {self}; relative paths start at {Path.cwd()})"
            )
