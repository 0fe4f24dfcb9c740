"""The keys that seal personal data: a file outside the database, its owner's alone.

    persona-ray vault keys 1
    5f0c21aa 2026-11-23T08:00:00+00:00 <64 hexadecimal digits>
    9b17e3d0 2027-02-01T08:00:00+00:00 <64 hexadecimal digits>

The last key seals, the others still open what they sealed. Whoever has the file can read what is
sealed; without it nobody can.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.errors import ConfigError, VaultError
from persona_ray.files import locked
from persona_ray.vault import private_file

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

VARIABLE = "PERSONA_RAY_VAULT_KEYS"
FILE = "vault.keys"
# Lies beside a ring of the workspace: were it lost and another made, nobody would notice at once.
MADE = "vault.made"
KEY_BYTES = 32
_TITLE = "persona-ray vault keys 1"
_ID_DIGITS = 8
_LINE = re.compile(rf"^([0-9a-f]{{{_ID_DIGITS}}}) (\S+) ([0-9a-f]{{{2 * KEY_BYTES}}})$")
# How long a process may go on with a file that was replaced.
_LOOK_EVERY_S = 1.0
_REMEMBERED = """\
The key ring vault.keys was made here. While this file is there, no other one is made in its place.
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A 256-bit key and its name. Its material is never shown."""

    key_id: str
    made_at: datetime
    material: bytes = field(repr=False)


def new_key(now: datetime | None = None) -> Key:
    """A random key."""
    made_at = (now or datetime.now(UTC)).replace(microsecond=0)
    return Key(secrets.token_hex(_ID_DIGITS // 2), made_at, secrets.token_bytes(KEY_BYTES))


class KeyRing:
    """The keys of a file, as it now is: it is read again when it was replaced, at most once a
    second, and whenever a key is asked for that is not known. Threads may share it."""

    def __init__(
        self, path: Path, makes: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is read before a key is needed. `makes`: the file is made where there is none,
        when something is first to be sealed."""
        self.path = path
        self._makes = makes
        self._made = path.with_name(MADE)
        self._clock = clock
        self._remembered = False
        self._keys: tuple[Key, ...] = ()
        self._seen: tuple[int, ...] = ()
        self._looked_at = -_LOOK_EVERY_S
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KeyRing({str(self.path)!r})"

    def primary(self) -> Key:
        """The key that seals now. Raises VaultError where there is no file, or no longer one,
        ConfigError for one that is damaged or that others may read."""
        with self._lock:
            if self._clock() - self._looked_at >= _LOOK_EVERY_S:
                self._look()
            if not self._keys:
                if not self._makes:
                    raise VaultError(f"there is no key ring {self.path}: {_where()}")
                self.check_not_lost()
                self._keys = _parsed(
                    self.path, private_file.kept(self.path, lambda: _text([new_key()]))
                )
            self._remember()
            return self._keys[-1]

    def key(self, key_id: str) -> Key:
        """Raises VaultError, naming the key, where the file does not have it."""
        with self._lock:
            for again in (False, True):
                if again:
                    # A shared file system may not tell at once that a file was replaced.
                    self._seen = ()
                    self._look()
                for key in self._keys:
                    if key.key_id == key_id:
                        return key
        raise VaultError(f"key {key_id} is not in the key ring {self.path}: {_where()}")

    def all(self) -> tuple[Key, ...]:
        """All keys, the one that seals last; none where there is no file yet."""
        with self._lock:
            self._look()
            return self._keys

    def add(self, key: Key) -> None:
        """`key` seals from now on."""
        self._change(lambda keys: [*keys, key])

    def drop(self, key_id: str) -> None:
        """Take a key out that does not seal: what it sealed can't be opened any more."""
        self._change(lambda keys: [key for key in keys if key.key_id != key_id])

    def _change(self, change: Callable[[Sequence[Key]], Sequence[Key]]) -> None:
        """One process at a time: a key that another adds meanwhile may have sealed already."""
        self.check_not_lost()
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with locked(self.path.with_name(f".{self.path.name}.lock"), wait=True):
                private_file.replace(self.path, _text(change(self.all())))
        except OSError as error:
            raise VaultError(
                f"{self.path} cannot be written ({error.strerror}): change the keys where the file "
                "comes from; the last one seals"
            ) from None
        self.all()
        self._remember()

    def _remember(self) -> None:
        """That there is a ring, so that no other is made in its place once it is gone."""
        if self._makes and not self._remembered:
            # Where the folder may only be read, nobody makes a ring there either.
            with suppress(OSError):
                if not self._made.exists():
                    private_file.put_new(self._made, _REMEMBERED)
            self._remembered = True

    def check_not_lost(self) -> None:
        """Raises VaultError where a ring was made here, and there is none any more."""
        if self._makes and self._made.exists() and not self.path.exists():
            raise VaultError(
                f"the key ring {self.path} is gone: put it back from where the keys are kept; "
                f"where nothing that it sealed is to be read again, remove {self._made}, and "
                "another is made"
            )

    def _look(self) -> None:
        self._looked_at = self._clock()
        try:
            about = self.path.stat()
        except OSError:
            # Known keys stay known: a volume may be away for a moment.
            return
        seen = (about.st_ino, about.st_mtime_ns, about.st_size)
        if seen != self._seen:
            self._keys = _parsed(self.path, private_file.read(self.path))
            self._seen = seen


def ring_of(config: RunConfig) -> KeyRing:
    """The ring that `privacy.vault.keys` or the environment names, else that of the workspace."""
    named = config.privacy.vault.keys or os.environ.get(VARIABLE, "")
    if named:
        return KeyRing(Path(named).absolute(), makes=False)
    return KeyRing((config.workspace / FILE).absolute(), makes=True)


def _where() -> str:
    return (
        f"rings are looked for at privacy.vault.keys, else at {VARIABLE}, else as {FILE} in the "
        "workspace; put it back from where the keys are kept"
    )


def _text(keys: Sequence[Key]) -> str:
    lines = [f"{key.key_id} {key.made_at.isoformat()} {key.material.hex()}" for key in keys]
    return "\n".join([_TITLE, *lines]) + "\n"


def _parsed(path: Path, text: str) -> tuple[Key, ...]:
    """Raises ConfigError, without a word of what the line says."""
    title, *lines = text.splitlines() or [""]
    if title != _TITLE or not lines:
        raise ConfigError(f"{path} is no key ring: its first line is '{_TITLE}', then its keys")
    keys: dict[str, Key] = {}
    for number, line in enumerate(lines, start=2):
        found = _LINE.match(line)
        try:
            made_at = datetime.fromisoformat(found[2]) if found else None
        except ValueError:
            made_at = None
        if found is None or made_at is None or made_at.tzinfo is None:
            raise ConfigError(
                f"{path}, line {number}: a key is {_ID_DIGITS} hexadecimal digits, the time it was "
                f"made with its zone, and {2 * KEY_BYTES} hexadecimal digits"
            )
        if found[1] in keys:
            raise ConfigError(f"{path}, line {number}: key {found[1]} stands there twice")
        keys[found[1]] = Key(found[1], made_at, bytes.fromhex(found[3]))
    return tuple(keys.values())
