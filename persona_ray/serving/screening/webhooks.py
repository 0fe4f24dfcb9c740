"""Notices on their way to webhooks: signed (`serving.signed_posts`), tried again, given up after a
while. Private addresses are not asked unless screening.webhooks_private says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from persona_ray.errors import StoreError
from persona_ray.serving.signed_posts import NotAskedError, check_url, post
from persona_ray.watch import spans
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.store.screening.notices import Delivery, NoticeRepository

_POLL_S = 1.0
_TIMEOUT_S = 10.0
_LEASE_S = 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S, _TRIES = 5.0, 3600.0, 8


def check_urls(config: ScreeningConfig) -> None:
    """Raises ConfigError, as `check_url` does."""
    for url in config.webhooks:
        check_url(url, "screening.webhooks")


class Webhooks:
    """Sends what is due, one after the other. Every replica does; each delivery is one's alone."""

    def __init__(
        self,
        notices: NoticeRepository,
        key: bytes,
        private: bool,
        body_of: Callable[[Delivery], dict[str, Any]],
    ) -> None:
        """`private`: private addresses may be asked. `body_of`: what is sent of a delivery."""
        self._notices = notices
        self._key = key
        self._private = private
        self._body_of = body_of
        self._come = asyncio.Event()

    def wake(self) -> None:
        """There is a new notice."""
        self._come.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self.send_next():
                    pass
            except StoreError as error:
                log_exception("webhooks wait for the database", error)
            self._come.clear()
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._come.wait()
            except TimeoutError:
                continue

    async def send_next(self, now: datetime | None = None) -> bool:
        """Send one that is due; whether there was one. Raises StoreError."""
        now = now or datetime.now(UTC)
        delivery = await asyncio.to_thread(self._notices.claim, now, _LEASE_S)
        if delivery is None:
            return False
        with spans.work("webhook", attempt=delivery.attempts):
            await self._deliver(delivery, now)
        return True

    async def _deliver(self, delivery: Delivery, now: datetime) -> None:
        try:
            answer = await post(
                delivery.url,
                self._body_of(delivery),
                self._key,
                private=self._private,
                timeout_s=_TIMEOUT_S,
            )
        except NotAskedError as error:
            await self._give_up(delivery, str(error))
            return
        status, said = answer.status, answer.said
        if answer.taken:
            await asyncio.to_thread(self._notices.delivered, delivery, said)
            log_event("webhook", state="done", status=status, attempt=delivery.attempts)
        elif delivery.attempts >= _TRIES or not answer.passing:
            await self._give_up(delivery, said)
        else:
            again = now + timedelta(seconds=_wait_s(delivery.attempts))
            await asyncio.to_thread(self._notices.try_again, delivery, again, said)
            log_event("webhook", state="waiting", status=status, attempt=delivery.attempts)

    async def _give_up(self, delivery: Delivery, said: str) -> None:
        await asyncio.to_thread(self._notices.give_up, delivery, said)
        log_event("webhook", state="given_up", code=said, attempt=delivery.attempts)


def _wait_s(attempts: int) -> float:
    """From 5 s on four times as long each time, up to an hour; receivers that were away together
    are not asked together."""
    longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 4.0 ** (attempts - 1))
    return longest * random.uniform(0.75, 1.0)
