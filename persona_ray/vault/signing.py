"""Keys that sign: what devices fetch, what was forgotten, what was done.

They are made at first use and followed by successors. The private key lies in a folder outside the
database, one file for each key, `0001.key`, for its owner alone (mode 600). All replicas share the
folder. A new key is signed by the one before it, which is then wiped: who has pinned one key walks
from there to the present one, and takes nothing more that an older one signed. Whoever steals the
present key can name a successor of his own; then devices must be told the right key by hand
(`persona-ray device sync --trust KEY_ID`).

The devices' keys and the installation's are two rings: devices fetch the chain of the one from a
service that strangers reach, the other signs receipts and the audit log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from persona_ray.errors import ConfigError, DistributionError
from persona_ray.files import write_whole
from persona_ray.vault.private_file import put_new
from persona_ray.vault.statements import (
    Signed,
    Successor,
    base64_text,
    plain,
    to_be_signed,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from persona_ray.config import RunConfig

# What is signed for devices, and for whoever asks what this installation did.
DEVICES = b"persona-ray screening statement 1\n"
INSTALLATION = b"persona-ray installation statement 1\n"


@dataclass(frozen=True, slots=True)
class Trusted:
    """A public key that a device has pinned: the `number`-th of its service, 32 bytes."""

    number: int
    key_id: str
    public: bytes


class SigningKeys:
    """The keys of a service. Threads may share it; it notices a successor that another process has
    made."""

    def __init__(self, folder: Path, domain: bytes = DEVICES) -> None:
        """Makes the first key where there is none. Raises ConfigError for a key that others may
        read, or that is damaged."""
        self._folder = folder
        self._domain = domain
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _files(folder):
            _make(folder, 1, None, domain)
        self._private, self._chain = self._load()
        # Of a rotation that was killed.
        for number in range(1, len(self._chain)):
            _wipe(folder, number)

    @property
    def key_id(self) -> str:
        """Of the key that signs now."""
        return str(self._current()[1][-1].statement["key_id"])

    def chain(self) -> tuple[Signed, ...]:
        """Every key from the first to the present one, each signed by the one before it."""
        return self._current()[1]

    def sign(self, statement: dict[str, Any]) -> Signed:
        """Raises ValueError for a statement without a canonical form."""
        private, chain = self._current()
        signature = private.sign(to_be_signed(statement, self._domain))
        return Signed(
            statement=statement,
            key_id=chain[-1].statement["key_id"],
            signature=base64_text(signature),
        )

    def secret(self, purpose: str) -> bytes:
        """32 bytes that nobody else can compute, the same in every replica until the next key."""
        seed = self._current()[0].private_bytes_raw()
        return hmac.digest(seed, f"persona-ray {purpose}".encode(), "sha256")

    def rotate(self) -> str:
        """Make a successor and wipe the key before it; the successor's id.

        Raises ConfigError where another process has just made one.
        """
        private, chain = self._current()
        _make(self._folder, len(chain) + 1, private, self._domain)
        _wipe(self._folder, len(chain))
        return self.key_id

    def _current(self) -> tuple[Ed25519PrivateKey, tuple[Signed, ...]]:
        with self._lock:
            if _path(self._folder, len(self._chain) + 1).exists():
                self._private, self._chain = self._load()
            return self._private, self._chain

    def _load(self) -> tuple[Ed25519PrivateKey, tuple[Signed, ...]]:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        kept = [_read(path) for path in _files(self._folder)]
        chain = tuple(Signed.model_validate(item["signed"]) for item in kept)
        try:
            present = walk(chain, domain=self._domain)
            private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(kept[-1]["private"]))
            if private.public_key().public_bytes_raw() != present.public:
                raise ValueError("another key's")
        except (TypeError, ValueError, DistributionError):
            raise ConfigError(
                f"{self._folder}: the keys are damaged: put them back from a backup; after a start "
                "with an empty folder, devices must be told the new key by hand"
            ) from None
        return private, chain


def keys_folder(config: RunConfig) -> Path:
    """Where the keys that sign for devices lie."""
    named = config.screening.distribution.keys
    return Path(named) if named else config.workspace / "keys" / "screening"


def installation_folder(config: RunConfig) -> Path:
    """Where the keys that sign receipts and the audit log lie."""
    named = config.privacy.audit.keys
    return Path(named) if named else config.workspace / "keys" / "installation"


def verified(signed: Signed, trusted: Trusted, domain: bytes = DEVICES) -> dict[str, Any]:
    """The statement, if `trusted` signed it. Raises DistributionError."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        signature = base64.b64decode(signed.signature, validate=True)
        message = to_be_signed(signed.statement, domain)
        Ed25519PublicKey.from_public_bytes(trusted.public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise DistributionError(
            "signature",
            f"what the service sent is not as key {trusted.key_id} signed it: it was changed on "
            "the way, or the service is another one; nothing of it was taken",
        ) from None
    return signed.statement


def walk(
    chain: Sequence[Signed], pinned: Trusted | None = None, domain: bytes = DEVICES
) -> Trusted:
    """The present key of a chain: from `pinned`, or from the first one on, each signed by the one
    before it. Raises DistributionError where the chain does not lead there."""
    present = pinned
    last = 0
    for signed in chain:
        found = _successor(signed)
        last = found.number
        if present is None or found.number == present.number + 1:
            verified(signed, present or _itself(found), domain)
            present = _itself(found)
        elif found.number > present.number or (
            found.number == present.number and found.key_id != present.key_id
        ):
            raise _astray(pinned)
    if present is None or last != present.number:
        raise _astray(pinned)
    return present


def named(chain: Sequence[Signed], key_id: str) -> Trusted:
    """The key of this id in a chain. Raises DistributionError where it is not there."""
    for signed in chain:
        found = _successor(signed)
        if found.key_id == key_id:
            return _itself(found)
    raise DistributionError(
        "key",
        f"the service has no key {key_id}: `persona-ray screening sets key` shows it there; if it "
        "is right, this is not the service",
    )


def id_of(public: bytes) -> str:
    """32 hexadecimal digits, by which people compare keys."""
    return hashlib.sha256(public).hexdigest()[:32]


def _astray(pinned: Trusted | None) -> DistributionError:
    said = "" if pinned is None else f" from key {pinned.key_id}, which this device trusts,"
    return DistributionError(
        "key",
        f"the service's keys do not lead{said} to its present one: somebody stands between, or the "
        "service was set up anew; if so, name its key by --trust KEY_ID, as `persona-ray screening "
        "sets key` shows it there",
    )


def _successor(signed: Signed) -> Successor:
    try:
        found = Successor.model_validate(signed.statement)
        matches = id_of(base64.b64decode(found.public, validate=True)) == found.key_id
    except (ValidationError, binascii.Error):
        matches = False
    if not matches:
        raise DistributionError("key", "what the service calls a key is none")
    return found


def _itself(found: Successor) -> Trusted:
    return Trusted(found.number, found.key_id, base64.b64decode(found.public))


def _make(folder: Path, number: int, before: Ed25519PrivateKey | None, domain: bytes) -> None:
    """Key `number`, unless another process makes it first."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    told = Successor(number=number, key_id=id_of(public), public=base64_text(public))
    signer = before or private
    signed = Signed(
        statement=plain(told),
        key_id=id_of(signer.public_key().public_bytes_raw()),
        signature=base64_text(signer.sign(to_be_signed(plain(told), domain))),
    )
    content = {"private": base64_text(private.private_bytes_raw()), "signed": signed.model_dump()}
    if not put_new(_path(folder, number), json.dumps(content)) and before is not None:
        raise ConfigError(f"{folder}: key {number} was made by another process")


def _wipe(folder: Path, number: int) -> None:
    path = _path(folder, number)
    kept = _read(path)
    if kept["private"] is not None:
        write_whole(path, json.dumps({"private": None, "signed": kept["signed"]}))


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.key"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.key"))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        Signed.model_validate(content["signed"])
        secret = content["private"] is not None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is damaged: put it back from a backup") from None
    if secret and path.stat().st_mode & 0o077:
        raise ConfigError(f"{path} may be read by others than its owner: chmod 600 {path}")
    return dict(content)
