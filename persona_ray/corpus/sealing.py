"""Shards and staged calls of a corpus, encrypted where clips are to be sealed.

Each corpus has a data key of its own, in `clips.key`, sealed by the vault: a new key of the vault
seals that file anew, and no shard changes. The shards are Parquet's modular encryption (AES-GCM,
every column and the footer), which keeps row groups readable one by one.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.config.privacy import Sealed
from persona_ray.errors import CorpusError
from persona_ray.files import rewrite_whole, write_whole
from persona_ray.vault.keys import FILE, KEY_BYTES, VARIABLE, KeyRing
from persona_ray.vault.seal import Vault, sealed_by, vault_of

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

KEY = "clips.key"
_ABOUT = "corpus_clips"
_ENCRYPTED = b"PARE"


def writes(folder: Path) -> dict[str, Any]:
    """Arguments of a Parquet writer of a corpus: none where it has no data key. Raises VaultError
    where the key of the vault is missing, CorpusError for a damaged file."""
    key = _data_key(folder)
    if not key:
        return {}
    from pyarrow.parquet.encryption import create_encryption_properties

    return {"encryption_properties": create_encryption_properties(key)}


def reads(folder: Path) -> dict[str, Any]:
    """Arguments of a Parquet reader; what was written before there was a data key is plain.
    Raises as `writes`."""
    key = _data_key(folder)
    if not key:
        return {}
    from pyarrow.parquet.encryption import create_decryption_properties

    return {"decryption_properties": create_decryption_properties(key, allow_plaintext_files=True)}


def is_sealed(path: Path) -> bool:
    """Whether a Parquet file is encrypted."""
    with path.open("rb") as file:
        return file.read(len(_ENCRYPTED)) == _ENCRYPTED


def begin_sealing(folder: Path, config: RunConfig) -> None:
    """Make the data key of a corpus where clips are to be sealed and it has none."""
    if Sealed.CLIPS not in config.privacy.vault.sealed or (folder / KEY).exists():
        return
    sealed = vault_of(config).seal(os.urandom(KEY_BYTES), _ABOUT)
    # Workers read the corpus from other folders.
    named = config.privacy.vault.keys
    write_whole(folder / KEY, _text(sealed, str(Path(named).absolute()) if named else ""))


class SealedCorpus:
    """The data key of a corpus, as one of the places that keys of the vault seal."""

    name = "clips"
    # What is plain is sealed when the corpus is built anew.
    seals_plain = False

    def __init__(self, folder: Path, vault: Vault) -> None:
        self._folder = folder
        self._vault = vault

    def by_key(self) -> Counter[str]:
        """How many files each key seals; empty: plain, until the corpus is built anew."""
        found: Counter[str] = Counter()
        key_id = sealed_by(_read(self._folder)[0]) if (self._folder / KEY).is_file() else ""
        if key_id:
            found[key_id] += 1
        # Shards, and staged calls: units are plain.
        for path in (*self._folder.glob("*.parquet"), *self._folder.glob("staging/*/**/*.parquet")):
            with suppress(FileNotFoundError):
                found[key_id if is_sealed(path) else ""] += 1
        return found

    def reseal(self, key_id: str) -> Iterator[int]:
        """Seal the data key by the key `key_id`, which seals now. One that does not open stays."""
        if not (self._folder / KEY).is_file():
            return
        kept, named = _read(self._folder)
        if sealed_by(kept) == key_id:
            return
        files = self.by_key()[sealed_by(kept)]
        sealed = self._vault.resealed(kept, _ABOUT)
        if sealed and rewrite_whole(self._folder / KEY, _text(sealed, named)):
            yield files


def _data_key(folder: Path) -> bytes:
    """Empty: plain."""
    if not (folder / KEY).is_file():
        return b""
    kept, named = _read(folder)
    return Vault(_ring(folder, named)).open(kept, _ABOUT)


def _ring(folder: Path, named: str) -> KeyRing:
    """The configured ring, that of the environment, or that of the workspace which the corpus is
    in: the first that is there. Workers read the corpus without a configuration."""
    places = [Path(one) for one in (named, os.environ.get(VARIABLE, "")) if one]
    places.append(folder.absolute().parent / FILE)
    return KeyRing(next((path for path in places if path.is_file()), places[0]), makes=False)


def _text(sealed: bytes, named: str) -> str:
    return json.dumps({"key": base64.b64encode(sealed).decode(), "ring": named}, indent=1) + "\n"


def _read(folder: Path) -> tuple[bytes, str]:
    """The sealed key, and where the configuration said that the ring is."""
    path = folder / KEY
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return base64.b64decode(tree["key"], validate=True), str(tree["ring"])
    except (OSError, ValueError, KeyError, TypeError, binascii.Error):
        raise CorpusError(f"{path} is damaged: put it back from a backup") from None
