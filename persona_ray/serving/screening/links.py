"""Signed links that expire: whoever has one may open one file of one call until then.

    /v1/screening/files/{ref}/{what}?expires=1767225600&signature=...

The signature is HMAC-SHA256 over what, ref and expiry. Its key lies outside the database, so that
nobody who reads that can make links. The address holds no id of a person: `ref` is a random name
of the call.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from persona_ray.errors import ConfigError, RequestError
from persona_ray.serving.screening.signing import keys_folder

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

What = Literal["recording", "transcript"]
PATH = "/v1/screening/files"
_SECRET_BYTES = 32


class Links:
    """Makes links and checks them. `now`: seconds since 1970."""

    def __init__(self, key: bytes, life_s: float, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._life_s = life_s
        self._now = now

    def make(self, what: What, ref: str) -> str:
        """Path and query."""
        expires = int(self._now() + self._life_s)
        signature = self._signature(what, ref, expires)
        return f"{PATH}/{ref}/{what}?expires={expires}&signature={signature}"

    def check(self, what: str, ref: str, expires: int, signature: str) -> None:
        """Raises RequestError: 403 for a link that is not ours, 410 for one that is over."""
        ours = self._signature(what, ref, expires)
        # In constant time, and before the expiry is looked at: a guess learns nothing.
        if not hmac.compare_digest(ours.encode(), signature.encode()):
            raise RequestError(
                "link.signature",
                "the link is not one of ours, or was changed",
                status=403,
                field="signature",
                fix="ask for the call again: its answer has a new link",
            )
        if expires < self._now():
            raise RequestError(
                "link.expired",
                "the link is over",
                status=410,
                field="expires",
                fix="ask for the call again: its answer has a new link",
            )

    def _signature(self, what: str, ref: str, expires: int) -> str:
        message = f"{what}\n{ref}\n{expires}".encode()
        digest = hmac.digest(self._key, message, "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def shared_secret(config: RunConfig, name: str) -> bytes:
    """A secret of all replicas, at least 32 bytes: PERSONA_RAY_{NAME}_SECRET of the environment, or
    a file beside the signing keys, made where there is none and its owner's alone.

    Raises ConfigError where it is too short, or others may read it.
    """
    variable = f"PERSONA_RAY_{name.upper()}_SECRET"
    given = os.environ.get(variable, "")
    if given:
        if len(given) < _SECRET_BYTES:
            raise ConfigError(
                f"{variable} has {len(given)} characters: a secret has at least {_SECRET_BYTES}; "
                "make one with `openssl rand -hex 32`"
            )
        return given.encode()
    return _kept(secret_path(config, name))


def secret_path(config: RunConfig, name: str) -> Path:
    """Where a secret lies that the environment does not give."""
    return keys_folder(config) / f"{name}.secret"


def _kept(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            # Unlike a rename, this never takes the place of what another replica has made.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path} may be read by others than its owner: chmod 600 {path}")
    found = path.read_text().strip()
    if len(found) < _SECRET_BYTES:
        raise ConfigError(f"{path} is damaged: put it back from a backup, or delete it")
    return found.encode()
