"""Secrets that all replicas share: what is signed with them is known by any."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from persona_ray.errors import ConfigError
from persona_ray.vault.private_file import kept

_SECRET_BYTES = 32


def kept_secret(folder: Path, name: str) -> bytes:
    """At least 32 bytes: PERSONA_RAY_{NAME}_SECRET of the environment, or `{name}.secret` in
    `folder`, made where there is none and its owner's alone.

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
    return _kept(folder / f"{name}.secret")


def _kept(path: Path) -> bytes:
    found = kept(path, lambda: secrets.token_hex(_SECRET_BYTES)).strip()
    if len(found) < _SECRET_BYTES:
        raise ConfigError(f"{path} is damaged: put it back from a backup, or delete it")
    return found.encode()
