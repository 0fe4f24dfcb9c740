"""Database URLs and what databases say: ${NAME} from the environment, no secret in a message."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError, StatementError

from persona_ray.errors import ConfigError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# The bare scheme names a driver that is not among the dependencies.
_POSTGRES_SCHEMES = ("postgresql", "postgres")
_POSTGRES_DRIVER = "postgresql+psycopg"


def expand_url(url: str, key: str = "store.url") -> URL:
    """Parse `url`, each ${NAME} replaced from the environment.

    A value that stands for the user or the password may hold any character. Raises ConfigError
    (naming `key`, never a value taken from the environment) for an unset variable or a bad URL.
    """
    whole = _VARIABLE.fullmatch(url.strip())
    if whole is not None:
        text = _value_of(whole.group(1), key)
    else:
        head, separator, rest = url.strip().rpartition("@")
        # Only the part before the last @ is unquoted again by the parser.
        text = (
            _VARIABLE.sub(lambda match: quote(_value_of(match.group(1), key), safe=""), head)
            + separator
            + _VARIABLE.sub(lambda match: _value_of(match.group(1), key), rest)
        )
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"{key} is no database URL: write it like sqlite:///folder/store.sqlite or "
            "postgresql://user:${PASSWORD}@host:5432/name"
        ) from None
    if parsed.drivername in _POSTGRES_SCHEMES:
        parsed = parsed.set(drivername=_POSTGRES_DRIVER)
    try:
        parsed.get_dialect().import_dbapi()
    except (NoSuchModuleError, ImportError):
        raise ConfigError(
            f"{key}: no driver is installed for '{parsed.drivername}' databases; "
            "sqlite and postgresql need none"
        ) from None
    return parsed


def printable_url(url: URL | str) -> str:
    """The URL for messages and reports, its password as ***."""
    parsed = make_url(url) if isinstance(url, str) else url
    return parsed.render_as_string(hide_password=True)


# Of SQLite. The first is also what it says where it cannot make its file of locks.
_OF_DISK = frozenset({"disk I/O error", "database or disk is full"})


def reason_of(error: SQLAlchemyError, url: URL) -> str:
    """What the database said, on one line: no statement, no values, no password."""
    cause = error.orig if isinstance(error, StatementError) and error.orig else error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    # PostgreSQL draws a caret under the statement, and quotes the row that it refused.
    aside = ("LINE ", "^", "DETAIL:")
    kept = [line.strip() for line in lines if not line.strip().startswith(aside)]
    said = "; ".join(line for line in kept if line)
    if said in _OF_DISK:
        said += ": see that its disk has room, then try again"
    return said.replace(str(url.password), "***") if url.password else said


def _value_of(name: str, key: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ConfigError(f"{key} uses ${{{name}}}, which is not set in the environment") from None
