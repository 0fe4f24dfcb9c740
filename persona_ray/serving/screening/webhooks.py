"""Notices on their way to webhooks: signed, tried again, given up after a while.

A POST with the notice as JSON and the header

    persona-ray-signature: t=1767225600,v1=5f2a...

where v1 is HMAC-SHA256 over `{t}.{body}`. A receiver checks it in constant time, and takes nothing
that is older than a few minutes (`verify`). Redirects are not followed, and private addresses not
asked unless screening.webhooks_private says so: the name is resolved once, and the connection goes
to the address that was looked at. Of what is answered the status alone is read.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from persona_ray.errors import ConfigError, StoreError
from persona_ray.serving.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.store.screening.notices import Delivery, NoticeRepository

HEADER = "persona-ray-signature"
# A receiver takes nothing older: whoever overhears one cannot send it again for ever.
FRESH_S = 300.0
_POLL_S = 1.0
_TIMEOUT_S = 10.0
_LEASE_S = 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S, _TRIES = 5.0, 3600.0, 8
# Statuses after which it is worth trying again.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class _RefusedError(Exception):
    """Not sent, and not to be tried again."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes: to an address that was looked at, for a host."""

    url: str
    host: str
    server_name: str


def signature(key: bytes, body: bytes, at: int) -> str:
    """Value of the header for `body`, signed at `at` (seconds since 1970)."""
    digest = hmac.new(key, f"{at}.".encode() + body, "sha256").hexdigest()
    return f"t={at},v1={digest}"


def verify(key: bytes, body: bytes, header: str, now: float, fresh_s: float = FRESH_S) -> bool:
    """Whether `body` was signed with `key`, at most `fresh_s` before `now`: for
    receivers."""
    fields = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    try:
        at = int(fields.get("t", ""))
    except ValueError:
        return False
    if abs(now - at) > fresh_s:
        return False
    return hmac.compare_digest(signature(key, body, at).encode(), header.encode())


def check_urls(config: ScreeningConfig) -> None:
    """Raises ConfigError for a webhook that is no http(s) URL, or names a user and password."""
    for url in config.webhooks:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"screening.webhooks: '{url}' is no http:// or https:// address")
        if parts.username or parts.password:
            raise ConfigError(
                "screening.webhooks: a name and password in an address get into logs; receivers "
                "know us by the signature"
            )


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
        try:
            said = await self._post(delivery)
        except _RefusedError as error:
            await self._give_up(delivery, str(error))
            return True
        status = int(said) if said.isdecimal() else 0
        if 200 <= status < 300:
            await asyncio.to_thread(self._notices.delivered, delivery, said)
            log_event("webhook", state="done", status=status, attempt=delivery.attempts)
        elif delivery.attempts >= _TRIES or (status and status not in _PASSING):
            await self._give_up(delivery, said)
        else:
            again = now + timedelta(seconds=_wait_s(delivery.attempts))
            await asyncio.to_thread(self._notices.try_again, delivery, again, said)
            log_event("webhook", state="waiting", status=status, attempt=delivery.attempts)
        return True

    async def _give_up(self, delivery: Delivery, said: str) -> None:
        await asyncio.to_thread(self._notices.give_up, delivery, said)
        log_event("webhook", state="given_up", code=said, attempt=delivery.attempts)

    async def _post(self, delivery: Delivery) -> str:
        """The status, or the kind of what went wrong. Raises _RefusedError."""
        import httpx2

        body = json.dumps(self._body_of(delivery), ensure_ascii=False).encode()
        at = int(time.time())
        try:
            target = await _resolved(delivery.url, self._private)
            headers = {
                "host": target.host,
                "content-type": "application/json",
                HEADER: signature(self._key, body, at),
            }
            extensions = {"sni_hostname": target.server_name}
            async with (
                asyncio.timeout(_TIMEOUT_S),
                # Proxies of the environment would resolve the name anew.
                httpx2.AsyncClient(follow_redirects=False, trust_env=False) as client,
                client.stream(
                    "POST", target.url, content=body, headers=headers, extensions=extensions
                ) as answer,
            ):
                return str(answer.status_code)
        except (httpx2.HTTPError, OSError, TimeoutError) as error:
            return type(error).__name__


async def _resolved(url: str, private: bool) -> _Target:
    """The URL with the address of its host. Raises _RefusedError for one that may not be asked,
    OSError where the name is not known."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(one[4][0]) for one in found]
    if not private and not all(is_public(address) for address in addresses):
        raise _RefusedError("private address")
    address = addresses[0]
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    asked = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
    return _Target(asked, parts.netloc.rpartition("@")[2], host)


def is_public(address: str) -> bool:
    """Whether an IP address is anybody's on the Internet."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            found = inner
    return found.is_global and not found.is_multicast


def _wait_s(attempts: int) -> float:
    """From 5 s on four times as long each time, up to an hour; receivers that were away together
    are not asked together."""
    longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 4.0 ** (attempts - 1))
    return longest * random.uniform(0.75, 1.0)
