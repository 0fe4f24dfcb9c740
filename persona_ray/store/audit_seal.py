"""What keeps the audit log honest and does not stand in the database: keys, and the log's head.

The head is the number and hash of the last entry, signed, in a file beside the keys. Each writer
moves it on once its entry is committed; one that is killed in between leaves it behind, and the
next moves it. So a log whose tail was cut off no longer reaches its head. The head is made with the
first key, before anything is signed: one that is missing beside a key was deleted.

Persons are named by digests that only the secret beside the keys makes. It is made when the first
person is named, and never again while anything names one: by another secret nobody would be found.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import ValidationError

from persona_ray.errors import AuditError, DistributionError
from persona_ray.files import locked, write_whole
from persona_ray.vault.private_file import kept, read
from persona_ray.vault.signing import (
    INSTALLATION,
    SigningKeys,
    installation_folder,
    named,
    verified,
)
from persona_ray.vault.statements import Signed, Statement, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from persona_ray.config import RunConfig

# What persons are known by.
KINDS = ("customer", "user", "number", "voice", "agent")
# Where receipts of forgetting lie, in the workspace.
RECEIPTS = "privacy/receipts"
HEAD, PERSONS = "audit.head", "persons.secret"
_LOCK = ".audit.lock"
_SECRET_BYTES = 32
_log = logging.getLogger("persona_ray.audit")


class AuditHead(Statement):
    """The last entry: its number from 1 (0: none yet) and its hash."""

    type: Literal["audit head"] = "audit head"
    number: int
    hash: str


class AuditSeal:
    """The installation's keys and the head of its log, in one folder that all replicas share.
    `receipts`: the folder of what else names persons by its secret."""

    def __init__(self, folder: Path, receipts: Path | None = None) -> None:
        self.folder = folder
        self.receipts = receipts

    @classmethod
    def of(cls, config: RunConfig) -> Self:
        return cls(installation_folder(config), config.workspace / RECEIPTS)

    def __reduce__(self) -> tuple[type[AuditSeal], tuple[Path, Path | None]]:
        """Without keys: another process reads them from the folder."""
        return AuditSeal, (self.folder, self.receipts)

    @cached_property
    def keys(self) -> SigningKeys:
        """Made at first use."""
        if self._has_keys():
            return SigningKeys(self.folder, INSTALLATION)
        with self._alone():
            first = not self._has_keys()
            ring = SigningKeys(self.folder, INSTALLATION)
            if first:
                self._write(AuditHead(number=0, hash=""), ring)
        return ring

    def person(self, kind: str, name: str) -> str:
        """How logs and receipts name a person of one of KINDS: 32 hexadecimal digits. A keyed
        digest: ids are few and guessed soon, so that a plain one would hide nothing.

        Raises AuditError where there is no secret (`begin_persons` makes it)."""
        digest = hmac.digest(self._persons, f"persona-ray person {kind} {name}".encode(), "sha256")
        return digest.hex()[:32]

    @property
    def has_secret(self) -> bool:
        return (self.folder / PERSONS).is_file()

    def begin_persons(self) -> None:
        """Make the secret where it is missing. Raises AuditError where a receipt was made with
        another."""
        if not self.has_secret and self.receipts and any(self.receipts.glob("*.json")):
            raise self.lost(f"the receipts in {self.receipts}")
        kept(self.folder / PERSONS, lambda: secrets.token_hex(_SECRET_BYTES))

    def lost(self, naming: str = "receipts and the audit log") -> AuditError:
        """That the secret is gone by which something was named."""
        path = self.folder / PERSONS
        return AuditError(
            f"{path} is missing, and {naming} may name persons by it: by a new one nobody would be "
            "found among them; put the folder of keys back from its copy. Where there is none, "
            f"`(umask 077; openssl rand -hex 32 > {path})`, then forget each person anew, by name"
        )

    def check(self, signed: Signed) -> None:
        """Raises AuditError for what none of the installation's keys has signed."""
        try:
            verified(signed, named(self.keys.chain(), signed.key_id), INSTALLATION)
        except DistributionError:
            raise AuditError(
                f"key {signed.key_id} of {self.folder} has not signed this: it was changed, or "
                "another installation's key signed it"
            ) from None

    def head(self) -> AuditHead:
        """Raises AuditError for a head that was changed or deleted."""
        path = self.folder / HEAD
        try:
            signed = Signed.model_validate_json(path.read_bytes())
            self.check(signed)
            return AuditHead.model_validate(signed.statement)
        except FileNotFoundError:
            if self._has_keys():
                raise AuditError(
                    f"{path} is missing, and the keys beside it have signed: nobody can tell where "
                    "the audit log ended; put the file back from a copy of the keys' folder, and "
                    "compare `persona-ray audit show` with the heads in the service's logs"
                ) from None
            return AuditHead(number=0, hash="")
        except (ValidationError, AuditError):
            raise AuditError(
                f"{path} is not as it was signed: the audit log's end cannot be trusted; compare "
                "`persona-ray audit show` with the heads in the service's logs"
            ) from None

    def advance(self, number: int, digest: str, back: bool = False) -> None:
        """The head is this entry now; one that is further on stays, unless it goes `back`."""
        told = AuditHead(number=number, hash=digest)
        keys = self.keys
        with self._alone():
            if not back and self.head().number >= number:
                return
            self._write(told, keys)
        # Whoever keeps logs elsewhere has the head where nobody here can reach it.
        _log.info("audit head %d %s", number, digest)

    def _write(self, told: AuditHead, keys: SigningKeys) -> None:
        write_whole(self.folder / HEAD, keys.sign(plain(told)).model_dump_json() + "\n")

    def _has_keys(self) -> bool:
        return any(self.folder.glob("*.key"))

    @cached_property
    def _persons(self) -> bytes:
        path = self.folder / PERSONS
        if not self.has_secret:
            raise self.lost()
        try:
            secret = bytes.fromhex(read(path))
        except ValueError:
            secret = b""
        if len(secret) != _SECRET_BYTES:
            raise AuditError(f"{path} is damaged: put it back from a backup")
        return secret

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process of those that share the folder is here meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.folder / _LOCK, wait=True):
            yield
