"""Signed links that expire: whoever has one may open one file of one call until then.

    /v1/screening/files/{ref}/{what}?expires=1767225600&signature=...

The signature is HMAC-SHA256 over what, ref and expiry. Its key lies outside the database, so that
nobody who reads that can make links. The address holds no id of a person: `ref` is a random name
of the call.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from persona_ray.errors import RequestError
from persona_ray.serving.secret import kept_secret
from persona_ray.vault.signing import keys_folder

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

What = Literal["recording", "transcript"]
PATH = "/v1/screening/files"


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
    """A secret of all replicas, kept beside the signing keys. Raises ConfigError."""
    return kept_secret(keys_folder(config), name)


def secret_path(config: RunConfig, name: str) -> Path:
    """Where a secret lies that the environment does not give."""
    return keys_folder(config) / f"{name}.secret"
