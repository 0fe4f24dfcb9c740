"""Who may ask, and how often.

A caller names a key: `Authorization: Bearer pr_...`. A browser cannot set that header on a
WebSocket; it offers two subprotocols instead, `persona-ray` and `key.pr_...`, and the server takes
the first (`chosen_subprotocol`). No key ever stands in an address, where logs would keep it.

Keys live in the store by their digest, with scopes and a limit of requests per minute. A key is
asked for in the store at most every few seconds: one that was revoked or has expired, by the
database's clock, stops working within `KEY_AGE_S`.
Each ingress replica counts by itself, so that a key's limit is per replica.

Nobody guesses a key. So that trying does not keep the store busy, an address that sent too many
that are none is asked to wait (`ATTEMPTS_PER_MINUTE`): keys that were good before still are, for
many callers may share an address, that of a proxy.

The first run on a laptop is safe by default and asks for nothing: `persona-ray serve`, typed at a
terminal and listening on a loopback address, makes a session key (`session_key`: all scopes, until
the run ends, a day at most) and prints the address of the pages with it behind a `#`, which
browsers do not send: the page keeps it in its session storage. Without a terminal somebody's
log would keep the key, and on any other address more than this machine could use it: then none is
made, and `persona-ray keys create` does it.

`serving.keys.required=false` opens everything, on a loopback address alone: the configuration is
refused otherwise (`check_open`), and on clusters always. Each request must come from this machine,
be addressed to it, and come from no foreign page: another site's page in the same browser could
ask, too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem

from persona_ray.errors import ConfigError, RequestError
from persona_ray.store.keys import SCOPES

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from persona_ray.config.serving import KeysConfig, ServingConfig
    from persona_ray.store import Store
    from persona_ray.store.keys import ApiKey

SUBPROTOCOL = "persona-ray"
SESSION = "session"
KEY_AGE_S = 5.0
ATTEMPTS_PER_MINUTE = 60
_KEY_SUBPROTOCOL = "key."
_KEPT_KEYS = 1024
_SESSION_LIFETIME = timedelta(days=1)
_HOW = (
    "send 'Authorization: Bearer KEY' (a browser's WebSocket: the subprotocols 'persona-ray' and "
    "'key.KEY'); `persona-ray keys create` makes keys"
)
_SCHEME = HTTPBearer(auto_error=False, description="A key made by `persona-ray keys create`.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `key_id` is empty where no key is needed."""

    key_id: str
    name: str
    scopes: frozenset[str]

    def allows(self, scope: str) -> bool:
        """Whether it may do what `scope` names."""
        return scope in self.scopes or "admin" in self.scopes


_ANYONE = Caller("", "", frozenset(SCOPES))

# A key and its state.
_Known = tuple["ApiKey", str]


class Gate:
    """Admits requests and WebSockets."""

    def __init__(self, store: Store, config: KeysConfig) -> None:
        self._store = store
        self._config = config
        self._keys: OrderedDict[str, tuple[float, _Known]] = OrderedDict()
        self._buckets: OrderedDict[str, InMemoryBucket] = OrderedDict()
        self._attempts: OrderedDict[str, InMemoryBucket] = OrderedDict()

    async def admit(self, connection: HTTPConnection, scope: str) -> Caller:
        """The caller of a request or WebSocket (before it is accepted), if it may do `scope`.

        Raises RequestError: 401 without a valid key, 403 without the scope, 429 beyond its limit.
        """
        if not self._config.required:
            _check_local(connection)
            return _ANYONE
        key = await self._valid(connection, scope)
        self._spend(key)
        return Caller(key.key_id, key.name, key.scopes)

    async def still_admits(self, connection: HTTPConnection, scope: str) -> None:
        """For what lasts: raises as `admit` does once the key was revoked, has expired or lost the
        scope. Nothing is spent."""
        if self._config.required:
            await self._valid(connection, scope)

    async def _valid(self, connection: HTTPConnection, scope: str) -> ApiKey:
        token = _token(connection)
        if token is None:
            raise RequestError("key.missing", "no key", status=401, field="authorization", fix=_HOW)
        self._check_attempts(connection, token)
        known = await self._key(token)
        if known is None:
            self._attempted(connection)
            raise RequestError(
                "key.unknown", "there is no such key", status=401, field="authorization", fix=_HOW
            )
        key, state = known
        if state != "valid":
            raise RequestError(
                f"key.{state}",
                f"key {key.key_id} is {state}",
                status=401,
                field="authorization",
                fix="use another key: `persona-ray keys create` makes one",
            )
        connection.scope.setdefault("state", {})["key_id"] = key.key_id
        if not key.allows(scope):
            raise RequestError(
                "key.scope",
                f"key {key.key_id} lacks the scope '{scope}'",
                status=403,
                field="authorization",
                fix=f"`persona-ray keys create NAME --scope {scope}` makes a key that has it",
            )
        return key

    def requires(self, scope: str) -> Callable[..., Awaitable[Caller]]:
        """A dependency of routes: the caller, admitted with `scope`."""

        async def dependency(
            request: Request,
            _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_SCHEME)],
        ) -> Caller:
            return await self.admit(request, scope)

        return dependency

    async def _key(self, token: str) -> _Known | None:
        now = time.monotonic()
        known = self._keys.get(token)
        if known is not None and now - known[0] < KEY_AGE_S:
            return known[1]
        found = await asyncio.to_thread(self._found, token)
        # What is no key is not remembered: it must not push out what is one.
        self._keys.pop(token, None)
        if found is not None:
            self._keys[token] = (now, found)
            while len(self._keys) > _KEPT_KEYS:
                self._keys.popitem(last=False)
        return found

    def _found(self, token: str) -> _Known | None:
        key = self._store.keys.find(token)
        return None if key is None else (key, key.state(self._store.now()))

    def _check_attempts(self, connection: HTTPConnection, token: str) -> None:
        bucket = self._attempts.get(_address(connection))
        if bucket is None or token in self._keys:
            return
        bucket.leak(_now_ms())
        if bucket.count() >= ATTEMPTS_PER_MINUTE:
            raise RequestError(
                "key.attempts",
                f"{ATTEMPTS_PER_MINUTE} keys that are none came from this address within a minute",
                status=429,
                field="authorization",
                fix="send a key that there is; keys that were good before still are",
                retry_after_s=60.0,
            )

    def _attempted(self, connection: HTTPConnection) -> None:
        address = _address(connection)
        bucket = _bucket(self._attempts, address, ATTEMPTS_PER_MINUTE)
        bucket.put(RateItem(address, _now_ms()))

    def _spend(self, key: ApiKey) -> None:
        limit = key.requests_per_minute or self._config.requests_per_minute
        bucket = _bucket(self._buckets, key.key_id, limit)
        now_ms = _now_ms()
        bucket.leak(now_ms)
        item = RateItem(key.key_id, now_ms)
        if not bucket.put(item):
            waiting = bucket.waiting(item)
            wait_s = waiting / 1000 if isinstance(waiting, int) else 60.0
            raise RequestError(
                "key.rate",
                f"key {key.key_id} has had its {limit} requests of this minute",
                status=429,
                field="authorization",
                fix=f"wait {wait_s:.0f} s, or have its limit raised",
                retry_after_s=wait_s,
            )


def acting_for(caller: Caller, named: str, code: str, who: str) -> str:
    """Whom a caller acts for: whose id is its key's name; with the scope `operator` whoever is
    `named`. `who` is the word for them. Raises RequestError with `code`: 403 for another's, 422
    where nobody is named."""
    field = f"{who}_id"
    if caller.allows("operator"):
        found = named or caller.name
        if not found:
            raise RequestError(
                code,
                f"no {who} is named",
                field=field,
                fix=f"name the {who} whom the call is for: {field}=...",
            )
        return found
    if named and named != caller.name:
        raise RequestError(
            code,
            f"the key is another {who}'s",
            status=403,
            field=field,
            fix=f"leave {field} out, or use a key with the scope 'operator'",
        )
    return caller.name


def operator_of(caller: Caller) -> str:
    """Who stands in histories for what an operator does."""
    return caller.name or "operator"


def chosen_subprotocol(connection: HTTPConnection) -> str | None:
    """What to accept a WebSocket with: `persona-ray` where the client offers it."""
    return SUBPROTOCOL if SUBPROTOCOL in _offered(connection) else None


@contextmanager
def session_key(store: Store) -> Iterator[str]:
    """The token of a key for one run of the service, which ends with it. Another run on the same
    store has its own; that of a run which could not end it expires."""
    issued = store.keys.create(SESSION, ["admin"], lifetime=_SESSION_LIFETIME)
    try:
        yield issued.token
    finally:
        store.keys.revoke(key_id=issued.key.key_id)


def check_open(config: ServingConfig) -> None:
    """Raises ConfigError where everything would be open to other machines."""
    if not config.keys.required and not is_loopback(config.host):
        raise ConfigError(
            f"serving.keys.required=false with serving.host={config.host}: anyone who reaches this "
            "machine could ask; leave keys required, or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bucket(buckets: OrderedDict[str, InMemoryBucket], name: str, limit: int) -> InMemoryBucket:
    """The one of `name`; who was not asked after for longest is forgotten."""
    bucket = buckets.setdefault(name, InMemoryBucket([Rate(limit, Duration.MINUTE)]))
    buckets.move_to_end(name)
    while len(buckets) > _KEPT_KEYS:
        buckets.popitem(last=False)
    return bucket


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client is not None else ""


def _token(connection: HTTPConnection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for name in _offered(connection):
        if name.startswith(_KEY_SUBPROTOCOL):
            return name.removeprefix(_KEY_SUBPROTOCOL)
    return None


def _offered(connection: HTTPConnection) -> list[str]:
    if connection.scope["type"] != "websocket":
        return []
    return [
        name.strip() for name in connection.headers.get("sec-websocket-protocol", "").split(",")
    ]


def _check_local(connection: HTTPConnection) -> None:
    """Without keys: from this machine, to this machine, and from no page of elsewhere."""
    host = connection.headers.get("host", "")
    origin = connection.headers.get("origin")
    client = connection.client
    local = client is not None and is_loopback(client.host) and is_loopback(_hostname(host))
    if not local or (origin is not None and origin.partition("://")[2] != host):
        raise RequestError(
            "key.local_only",
            "without keys the service answers this machine alone",
            status=403,
            field="authorization",
            fix="ask from the machine that it runs on, or set serving.keys.required=true",
        )


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
