"""Signed POSTs to addresses that a configuration names.

A POST has JSON and the header

    persona-ray-signature: t=1767225600,v1=5f2a...

where v1 is HMAC-SHA256 over `{t}.{body}`. A receiver checks it in constant time, and takes nothing
that is older than a few minutes (`verify`). Redirects are not followed, and private addresses not
asked unless that is allowed: the name is resolved once, and the connection goes to the address that
was looked at. Of what is answered the status alone is read.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from persona_ray.errors import ConfigError
from persona_ray.watch import spans

HEADER = "persona-ray-signature"
# A receiver takes nothing older: whoever overhears one cannot send it again for ever.
FRESH_S = 300.0
# RFC 6052: IPv4 addresses behind a translator.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Statuses after which it is worth trying again.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class NotAskedError(Exception):
    """Not sent, and not to be tried again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one try: the status, 0 where there was none, and what was said: the status, or
    the kind of what went wrong."""

    status: int
    said: str

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def passing(self) -> bool:
        """Whether it is worth trying again."""
        return not self.status or self.status in _PASSING


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
        fresh = abs(now - at) <= fresh_s
    except (ValueError, OverflowError):
        return False
    if not fresh:
        return False
    return hmac.compare_digest(signature(key, body, at).encode(), header.encode())


def check_url(url: str, key: str) -> None:
    """Raises ConfigError, which names the configuration's `key`, for what is no http(s) URL, or
    names a user and password."""
    try:
        parts = urlsplit(url)
        # Of a port that is none it tells only when it is asked for.
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f"{key}: '{url}' is no http:// or https:// address")
    if parts.username or parts.password:
        raise ConfigError(
            f"{key}: a name and password in an address get into logs; receivers know us by the "
            "signature"
        )


async def post(
    url: str, body: Mapping[str, Any], key: bytes, *, private: bool, timeout_s: float
) -> Answer:
    """Send `body` once, signed with `key`; `private`: private addresses may be asked. Raises
    NotAskedError."""

    with spans.span("signed post", kind="client") as span:
        answer = await _posted(url, body, key, private=private, timeout_s=timeout_s)
        span.note(status=answer.status)
        if not answer.taken:
            span.failed(answer.said)
    return answer


async def _posted(
    url: str, body: Mapping[str, Any], key: bytes, *, private: bool, timeout_s: float
) -> Answer:
    import httpx2

    content = json.dumps(body, ensure_ascii=False).encode()
    try:
        async with asyncio.timeout(timeout_s):
            target = await _resolved(url, private)
            headers = {
                "host": target.host,
                "content-type": "application/json",
                HEADER: signature(key, content, int(time.time())),
                **spans.outgoing(),
            }
            extensions = {"sni_hostname": target.server_name}
            async with (
                # Proxies of the environment would resolve the name anew.
                httpx2.AsyncClient(
                    follow_redirects=False, trust_env=False, timeout=timeout_s
                ) as client,
                client.stream(
                    "POST", target.url, content=content, headers=headers, extensions=extensions
                ) as answer,
            ):
                return Answer(answer.status_code, str(answer.status_code))
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        return Answer(0, type(error).__name__)


async def _resolved(url: str, private: bool) -> _Target:
    """The URL with the address of its host. Raises NotAskedError for one that may not be asked,
    OSError where the name is not known."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(one[4][0]) for one in found]
    if not private and not all(is_public(address) for address in addresses):
        raise NotAskedError("private address")
    address = addresses[0]
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    asked = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
    return _Target(asked, parts.netloc.rpartition("@")[2], host)


def is_public(address: str) -> bool:
    """Whether an IP address is anybody's on the Internet."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(found.packed[-4:])
        if inner is not None:
            found = inner
    return found.is_global and not found.is_multicast
