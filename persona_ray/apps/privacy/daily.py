"""Retention once a day, by one replica of whatever services share a store."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from persona_ray.errors import PersonaRayError

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

ROUND = "retention"
_EVERY, _AGAIN = timedelta(days=1), timedelta(hours=1)
# A service that has just started has better things to do.
_FIRST_S, _LOOK_S = 300.0, 3600.0
_log = logging.getLogger(__name__)


def begin_daily(config: RunConfig) -> None:
    """In a thread that ends with the process."""
    threading.Thread(target=_forever, args=(config,), name=ROUND, daemon=True).start()


def once_a_day(config: RunConfig, now: datetime | None = None) -> bool:
    """Apply retention, unless a replica has done so within a day; whether this one did. One that
    fails is made up for an hour later, by whoever looks first."""
    from persona_ray.apps.privacy.retention import apply_retention
    from persona_ray.progress import SilentProgress
    from persona_ray.store import open_store

    now, me = now or datetime.now(UTC), uuid.uuid4().hex
    with open_store(config.store_url) as store:
        if not store.rounds.take(ROUND, me, now, _EVERY):
            return False
        try:
            apply_retention(config, "service", SilentProgress(), now=now)
        except (PersonaRayError, OSError):
            store.rounds.give_back(ROUND, me, now + _AGAIN)
            raise
    return True


def _forever(config: RunConfig) -> None:
    time.sleep(_FIRST_S)
    while True:
        try:
            once_a_day(config)
        except Exception as error:
            # It goes on: what is too old today is too old tomorrow. Its text could name a path.
            _log.error("retention failed: %s; `persona-ray retention apply`", type(error).__name__)
        time.sleep(_LOOK_S)
