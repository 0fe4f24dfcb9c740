"""Sealed values open where they stand, by their key, unchanged; and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.config.privacy import Sealed
from persona_ray.errors import VaultError
from persona_ray.vault.keys import KeyRing
from persona_ray.vault.seal import HEADER_BYTES, MARK, PLAIN, TAG_BYTES, Vault, sealed_by

ABOUT = "screening_voices 7f"


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing(tmp_path_factory.mktemp("ring") / "vault.keys", makes=True)


@given(data=st.binary(max_size=300), about=st.text(max_size=30))
def test_what_is_sealed_opens(ring: KeyRing, data: bytes, about: str) -> None:
    vault = Vault(ring)
    sealed = vault.seal(data, about)
    assert vault.open(sealed, about) == data
    assert sealed_by(sealed) == ring.primary().key_id
    assert len(sealed) == HEADER_BYTES + len(data) + TAG_BYTES
    assert vault.seal(data, about) != sealed


def test_it_is_aes_gcm_of_header_and_place(ring: KeyRing) -> None:
    sealed, key = Vault(ring).seal(b"voice", ABOUT), ring.primary()
    header, rest = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
    assert header[:12] == MARK + key.key_id.encode()
    assert AESGCM(key.material).decrypt(header[12:], rest, header + ABOUT.encode()) == b"voice"


def test_no_byte_can_be_changed_and_none_be_missing(ring: KeyRing) -> None:
    vault = Vault(ring)
    sealed = vault.seal(b"voice", ABOUT)
    for at in range(len(MARK), len(sealed)):
        for flipped in (1, 128):
            changed = bytearray(sealed)
            changed[at] ^= flipped
            with pytest.raises(VaultError):
                vault.open(bytes(changed), ABOUT)
    for end in range(len(MARK), len(sealed)):
        with pytest.raises(VaultError):
            vault.open(sealed[:end], ABOUT)
    with pytest.raises(VaultError):
        vault.open(sealed + b"\0", ABOUT)


def test_a_value_that_was_moved_does_not_open_and_its_error_keeps_the_id(ring: KeyRing) -> None:
    vault = Vault(ring)
    with pytest.raises(VaultError, match="of screening_voices does not open") as refused:
        vault.open(vault.seal(b"voice", "screening_voices 8a"), ABOUT)
    assert "7f" not in str(refused.value)


def test_plain_values_pass_and_only_what_is_chosen_is_sealed(ring: KeyRing) -> None:
    vault = Vault(ring, [Sealed.RECORDINGS])
    assert vault.open(b"OggS...", ABOUT) == b"OggS..."
    assert vault.kept(Sealed.VOICEPRINTS, b"voice", ABOUT) == b"voice"
    assert sealed_by(vault.kept(Sealed.RECORDINGS, b"voice", ABOUT))


def test_without_keys_nothing_sealed_is_taken_for_plain(ring: KeyRing) -> None:
    sealed = Vault(ring).seal(b"voice", ABOUT)
    with pytest.raises(VaultError, match=ring.primary().key_id):
        PLAIN.open(sealed, ABOUT)
    with pytest.raises(VaultError):
        PLAIN.seal(b"voice", ABOUT)
    PLAIN.ready()


def test_another_ring_does_not_open_it(ring: KeyRing, tmp_path: Path) -> None:
    sealed = Vault(ring).seal(b"voice", ABOUT)
    missing = Vault(KeyRing(tmp_path / "none", makes=False), [Sealed.RECORDINGS])
    with pytest.raises(VaultError, match="there is no key ring"):
        missing.ready()
    other = Vault(KeyRing(tmp_path / "vault.keys", makes=True))
    with pytest.raises(VaultError, match=f"key {sealed_by(sealed)} is not in the key ring"):
        other.open(sealed, ABOUT)
    with pytest.raises(VaultError, match="PERSONA_RAY_VAULT_KEYS"):
        other.require(["", sealed_by(sealed)])
    Vault(ring).require(["", sealed_by(sealed)])


def test_no_voiceprint_looks_sealed() -> None:
    """Its mark would be a component of a unit vector above 1."""
    assert np.abs(np.frombuffer(MARK, "<f2").astype(np.float32)).min() > 1
