"""The sets of numbers as a screened call and their users meet them. Implements Sources."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from persona_ray.errors import RequestError
from persona_ray.inference.screening.numbers import caller_number, normalise
from persona_ray.inference.screening.records import Known, NotListed, Origin, Standing
from persona_ray.store.screening.changes import SHARED
from persona_ray.store.screening.records import NumberEntry

if TYPE_CHECKING:
    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.inference.screening.records import CallEvent
    from persona_ray.store import Store

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of everything that is not a test."""
    return datetime.now(UTC)


class StoredSources:
    """Sets of numbers in the store. Numbers are taken in any form (see `normalise`)."""

    def __init__(self, store: Store, config: ScreeningConfig, clock: Clock = utc_now) -> None:
        self._store = store
        self._config = config
        self._clock = clock

    async def look_up(self, call: CallEvent) -> Known | NotListed:
        """See Sources. A number that is withheld, or is none (switches pass on what callers make
        up), stands in no set."""
        number = caller_number(call.number, self._config.region)
        if not number:
            return NotListed()
        look_up = self._store.numbers.look_up
        found = await asyncio.to_thread(look_up, number, call.user_id, self._clock())
        return NotListed() if found is None else known(found)

    def put(
        self,
        user: str,
        number: str,
        standing: Standing,
        *,
        category: str = "",
        name: str = "",
        reason: str = "",
        expires_at: datetime | None = None,
    ) -> Known:
        """Put a number into a user's own sets: a contact, one allowed, one blocked.

        Raises RequestError for what is no number, a hidden one, a time that is over."""
        entry = NumberEntry(
            owner=_owner(user),
            number=self.number(number),
            standing=standing,
            category=category,
            name=name,
            origin=Origin.USER,
            reason=reason,
            expires_at=self._lasting(expires_at),
        )
        return known(self._store.numbers.put(entry, user, self._clock()))

    def remove(self, user: str, number: str, reason: str = "") -> bool:
        """Take a number out of a user's own sets; False where it was not in them."""
        now = self._clock()
        return self._store.numbers.remove(_owner(user), self.number(number), user, reason, now)

    def mark(self, user: str, number: str, category: str, reason: str) -> Known | NotListed:
        """Put the number of a call that was found illegal into the called user's own sets, for a
        while. The shared sets are not touched: callers lie about their numbers, and one call is
        no proof. A number that is hidden or none is not listed; a person's entry stays as it is."""
        found = caller_number(number, self._config.region)
        if not found:
            return NotListed()
        now = self._clock()
        entry = NumberEntry(
            owner=_owner(user),
            number=found,
            standing=Standing.ILLEGAL,
            category=category,
            origin=Origin.CALL,
            reason=reason,
            expires_at=now + timedelta(days=self._config.reports.mark_days),
        )
        return known(self._store.numbers.put(entry, "verdict", now))

    def number(self, raw: str) -> str:
        """In its one form. Raises RequestError where it is none, or hidden."""
        found = normalise(raw, self._config.region)
        if not found:
            raise RequestError(
                "number.withheld",
                "a hidden number cannot stand in a set",
                field="number",
                fix="give the number that called; hidden ones are known by their voice alone",
            )
        return found

    def _lasting(self, expires_at: datetime | None) -> datetime | None:
        if expires_at is not None and expires_at <= self._clock():
            raise RequestError(
                "number.expired",
                f"expires_at {expires_at.isoformat()} is over",
                field="expires_at",
                fix="give a time to come, or leave it out for an entry that stays",
            )
        return expires_at


def known(entry: NumberEntry) -> Known:
    """An entry as a screened call sees it."""
    return Known(
        number=entry.number,
        standing=Standing(entry.standing),
        category=entry.category,
        name=entry.name,
        owner=entry.owner,
        origin=Origin(entry.origin),
        expires_at=entry.expires_at,
    )


def _owner(user: str) -> str:
    # The empty owner is everybody's.
    if user == SHARED:
        raise RequestError(
            "user.missing", "a user's own set needs a user", field="user_id", fix="name the user"
        )
    return user
