"""Connections to PostgreSQL: bounded, noticed when they are dead, made again after a restart."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL

# A server that was there is waited for so long: one that is started anew is back by then.
RESTART_S = 5.0
_STEP_S = 0.2
# libpq's own names, in seconds; what stands in the URL comes first. A server that has gone without
# a word is noticed after half a minute, not after the system's two hours.
_LIBPQ = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # In milliseconds.
    "tcp_user_timeout": 30_000,
}
# What a server says that is there and lets nobody in; anything else it says is final.
_REFUSAL = "FATAL"
_PASSING = ("starting up", "shutting down", "recovery", "not yet accepting connections")


def postgresql_engine(url: URL) -> Engine:
    """Each connection is asked whether it lives before it is given out. At most 15 for a process:
    SQLAlchemy's own 5, and 10 more under load, for which callers wait 30 s."""
    settings = {name: value for name, value in _LIBPQ.items() if name not in url.query}
    engine = create_engine(url, pool_pre_ping=True, connect_args=settings)
    event.listen(engine, "do_connect", Reconnect())
    return engine


class Reconnect:
    """How an engine's `do_connect` waits for a server that was there before. Nothing was sent yet,
    so that it may be tried again. Pickles."""

    def __init__(self) -> None:
        self._was_there = False

    def __call__(self, dialect: Any, _record: object, args: Any, settings: Any) -> Any:
        deadline = time.monotonic() + (RESTART_S if self._was_there else 0.0)
        while True:
            try:
                made = dialect.connect(*args, **settings)
            except dialect.dbapi.OperationalError as error:
                if time.monotonic() >= deadline or not _is_away(str(error)):
                    raise
                time.sleep(_STEP_S)
            else:
                self._was_there = True
                return made


def _is_away(said: str) -> bool:
    return _REFUSAL not in said or any(word in said for word in _PASSING)
