"""Keys that lie nowhere."""

from __future__ import annotations

from persona_ray.config.privacy import Sealed
from persona_ray.errors import VaultError
from persona_ray.vault.keys import Key, new_key
from persona_ray.vault.seal import Vault


class FixedKeys:
    """Implements Keys."""

    def __init__(self, *keys: Key) -> None:
        self._keys = keys

    def come(self, key: Key) -> None:
        """From now on `key` is known, and seals."""
        self._keys = (*self._keys, key)

    def primary(self) -> Key:
        return self._keys[-1]

    def key(self, key_id: str) -> Key:
        for key in self._keys:
            if key.key_id == key_id:
                return key
        raise VaultError(f"key {key_id} is missing")


def a_vault() -> Vault:
    """That seals everything under a new key."""
    return Vault(FixedKeys(new_key()), tuple(Sealed))
