"""Bearer keys: a key is shown once, the database keeps only what it is recognised by.

A key reads `pr_ID_SECRET`. The secret has 256 random bits, so a plain digest is as good as a slow
one: nobody guesses it, and it is checked with every request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, insert, select, update

from persona_ray.store.database import Database, affected
from persona_ray.store.service_tables import ApiKeyRow

# What a key may do; `admin` may do everything. `screen` hands over calls, `screening` reads what
# became of them, `device` fetches sets and libraries, `assist` is an agent's calls and devices:
# each for the user or agent whose id is the key's name, with `operator` for any.
SCOPES = (
    "recognise",
    "jobs",
    "live",
    "annotate",
    "models",
    "metrics",
    "screen",
    "screening",
    "device",
    "assist",
    "operator",
    "admin",
)
_PREFIX = "pr"
_COLUMNS = tuple(ApiKeyRow.__table__.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret. `requests_per_minute` None: the configured default."""

    key_id: str
    name: str
    scopes: frozenset[str]
    requests_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def state(self, now: datetime) -> str:
        """`valid`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "valid"

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key that was just made; `token` is its only copy."""

    key: ApiKey
    token: str


class KeyRepository:
    """Keys by their id. A revoked one is kept, so that logs can be read later."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        scopes: Collection[str],
        requests_per_minute: int | None = None,
        lifetime: timedelta | None = None,
    ) -> IssuedKey:
        """A new key. Raises ValueError for scopes that there are not, or none."""
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            said = f"unknown scope '{unknown[0]}'" if unknown else "a key needs a scope"
            raise ValueError(f"{said}: choose from {', '.join(SCOPES)}")
        now = self._database.now()
        key = ApiKey(
            key_id=secrets.token_hex(6),
            name=name,
            scopes=frozenset(scopes),
            requests_per_minute=requests_per_minute,
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
            revoked_at=None,
        )
        token = f"{_PREFIX}_{key.key_id}_{secrets.token_urlsafe(32)}"
        values = {
            "key_id": key.key_id,
            "name": name,
            "digest": _digest(token),
            "scopes": " ".join(sorted(key.scopes)),
            "requests_per_minute": requests_per_minute,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": None,
        }
        with self._database.write() as session:
            session.execute(insert(ApiKeyRow), [values])
        return IssuedKey(key, token)

    def find(self, token: str) -> ApiKey | None:
        """The key that `token` is, also where it is revoked or expired; None for no key."""
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != _PREFIX or not key_id or not secret:
            return None
        query = select(*_COLUMNS).where(ApiKeyRow.key_id == key_id)
        with self._database.read() as session:
            row = session.execute(query).mappings().first()
        if row is None or not hmac.compare_digest(row["digest"], _digest(token)):
            return None
        return _key(row)

    def all(self) -> list[ApiKey]:
        """Every key in the order of making."""
        query = select(*_COLUMNS).order_by(ApiKeyRow.created_at, ApiKeyRow.key_id)
        with self._database.read() as session:
            return [_key(row) for row in session.execute(query).mappings()]

    def revoke(self, *, key_id: str = "", name: str = "") -> int:
        """Revoke the key with this id, or all of this name; how many were valid until now."""
        known = ApiKeyRow.key_id == key_id if key_id else ApiKeyRow.name == name
        change = update(ApiKeyRow).where(known, ApiKeyRow.revoked_at.is_(None))
        now = self._database.now()
        with self._database.write() as session:
            return affected(session.execute(change.values(revoked_at=now)))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        name=row["name"],
        scopes=frozenset(row["scopes"].split()),
        requests_per_minute=row["requests_per_minute"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
