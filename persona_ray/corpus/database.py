"""Opening the business database: URL, driver, and errors without passwords."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from persona_ray.errors import ArchiveError, ConfigError

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_USERINFO = re.compile(r"^(?P<scheme>[^:/]+://)(?P<user>[^/]*@)?(?P<rest>.*)$", re.DOTALL)
# The driver that is installed with the product, where a URL names the database alone.
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


def expand_url(text: str, key: str = "archive.url") -> URL:
    """`text` with ${NAME} taken from the environment; ConfigError where a name is not set.

    Values inside the user and password part are quoted, so that any password works.
    """
    match = _USERINFO.match(text)
    scheme, user, rest = match.group("scheme", "user", "rest") if match else ("", "", text)
    expanded = (
        _expand(scheme, key, str)
        + _expand(user or "", key, lambda value: quote(value, safe=""))
        + _expand(rest, key, str)
    )
    try:
        url = make_url(expanded)
    except (ArgumentError, ValueError):
        # The message would repeat the URL, password included.
        raise ConfigError(
            f"{key} is no database URL: it looks like postgresql://user:${{NAME}}@host/database "
            "or sqlite:///path"
        ) from None
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


class Database:
    """Read-only connections to one URL. Pickles; its text never shows the password."""

    def __init__(self, url: URL) -> None:
        self._url = url

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"Database({self})"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection that cannot write. ArchiveError where there is none to be had."""
        self._check_file()
        try:
            # No pool: the connection goes with the walk that opened it.
            engine = create_engine(self._url, poolclass=NullPool)
        except NoSuchModuleError:
            raise ArchiveError(
                f"database {self}: SQLAlchemy knows no '{self._url.drivername}'"
            ) from None
        except ImportError as error:
            raise ArchiveError(
                f"database {self}: the driver of '{self._url.drivername}' is not installed "
                f"({error.name}): install it beside persona-ray"
            ) from None
        try:
            connection = engine.connect()
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
        try:
            yield connection
        finally:
            connection.close()
            engine.dispose()

    def explain(self, error: SQLAlchemyError) -> str:
        """What the database said, on one line, without statement and password."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        # PostgreSQL draws a caret under the statement; the first lines say it.
        kept = [line.strip() for line in lines if not line.strip().startswith(("LINE ", "^"))]
        said = "; ".join(line for line in kept if line)
        password = self._url.password
        return said.replace(str(password), "***") if password else said

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


def _expand(text: str, key: str, encode: Callable[[str], str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(f"{key} needs the environment variable {name}, which is not set")
        return encode(os.environ[name])

    return _PLACEHOLDER.sub(value, text)
