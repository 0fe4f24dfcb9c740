"""Values sealed at rest: AES-256-GCM, each bound to the place where it stands.

    89 'P' 'R' 'V' | key id, 8 bytes | nonce, 12 bytes | ciphertext | tag, 16 bytes

What precedes the ciphertext and `about`, the place, are authenticated (NIST SP 800-38D): a value
that was changed, or moved to another row or file, does not open. Nonces are random: one key seals
at most 2^32 values. What does not begin with the mark is plain, of a workspace that was not sealed;
no voiceprint and no file that is sealed here begins so.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from persona_ray.config.privacy import Sealed
from persona_ray.errors import VaultError
from persona_ray.vault.keys import Key, KeyRing, ring_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from persona_ray.config import RunConfig

# As float16 it begins with 36: more than any component of a voiceprint.
MARK = b"\x89PRV"
_ID_BYTES, _NONCE_BYTES, TAG_BYTES = 8, 12, 16
# What tells by which key a value was sealed.
TOLD_BYTES = len(MARK) + _ID_BYTES
HEADER_BYTES = TOLD_BYTES + _NONCE_BYTES


class Keys(Protocol):
    """Where keys come from."""

    def primary(self) -> Key: ...

    def key(self, key_id: str) -> Key: ...


class NoKeys:
    """Of who seals nothing."""

    def primary(self) -> Key:
        raise VaultError("there are no keys to seal with: open the store with the vault's")

    def key(self, key_id: str) -> Key:
        raise VaultError(f"this is sealed by key {key_id}: open the store with the vault's keys")


class Vault:
    """Seals what it is told to seal, and opens whatever was sealed. Threads may share it."""

    def __init__(self, keys: Keys, sealed: Collection[Sealed] = ()) -> None:
        self._keys = keys
        self._sealed = frozenset(sealed)

    def seals(self, what: Sealed) -> bool:
        return what in self._sealed

    def ready(self) -> None:
        """Raises VaultError, ConfigError where what is to be sealed could not be."""
        if self._sealed:
            self._keys.primary()

    def kept(self, what: Sealed, data: bytes, about: str) -> bytes:
        """As it is to be written: sealed, where `what` is."""
        return self.seal(data, about) if what in self._sealed else data

    def seal(self, data: bytes, about: str) -> bytes:
        """Under the key that seals now. Raises VaultError, ConfigError as KeyRing.primary."""
        key = self._keys.primary()
        nonce = os.urandom(_NONCE_BYTES)
        header = MARK + key.key_id.encode() + nonce
        return header + _cipher(key.material).encrypt(nonce, data, header + about.encode())

    def open(self, kept: bytes, about: str) -> bytes:
        """What `kept` was made of; what is plain as it is.

        Raises VaultError where its key is missing, or it was changed or is of another place.
        """
        if not kept.startswith(MARK):
            return kept
        from cryptography.exceptions import InvalidTag

        header, key_id = kept[:HEADER_BYTES], sealed_by(kept)
        try:
            if not key_id.isalnum() or len(kept) < HEADER_BYTES + TAG_BYTES:
                raise InvalidTag
            key = self._keys.key(key_id)
            nonce = header[TOLD_BYTES:]
            return _cipher(key.material).decrypt(
                nonce, kept[HEADER_BYTES:], header + about.encode()
            )
        except InvalidTag:
            raise VaultError(
                f"a sealed value of {about.partition(' ')[0]} does not open: it was changed, cut "
                "short or moved, or another key has the name of its own; put it back from a backup"
            ) from None

    def resealed(self, kept: bytes, about: str) -> bytes:
        """`kept` under the key that seals now; empty where it does not open."""
        try:
            opened = self.open(kept, about)
        except VaultError:
            return b""
        return self.seal(opened, about)

    def require(self, key_ids: Collection[str]) -> None:
        """Raises VaultError for the first of these keys that is missing; empty ones are passed."""
        for key_id in sorted(filter(None, key_ids)):
            self._keys.key(key_id)


PLAIN = Vault(NoKeys())


def vault_of(config: RunConfig, ring: KeyRing | None = None) -> Vault:
    """That of a configuration: what it seals, by the keys of its ring."""
    return Vault(ring or ring_of(config), config.privacy.vault.sealed)


def sealed_by(kept: bytes) -> str:
    """Id of the key that sealed a value, of which its first TOLD_BYTES are enough; empty: plain."""
    if not kept.startswith(MARK):
        return ""
    return kept[len(MARK) : TOLD_BYTES].decode("ascii", errors="replace")


@lru_cache(maxsize=64)
def _cipher(material: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(material)
