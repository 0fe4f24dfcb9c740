"""Looking a number up without naming it.

The device computes HMAC-SHA256(salt, number), tells the first bits, and gets all listed numbers
whose hash begins so, as hashes; it compares the rest itself. Each day (UTC) has its own salt.

What this protects from, and what it does not. The service, and who reads its logs, learns some 16
bits at most of a hash: among all numbers that could be called from (a country has 10^8 to 10^11)
very many share them, among listed ones `crowd` on average. But phone numbers are few: whoever knows
the salt can hash all of them in minutes, so that the bits narrow the callers down for anybody who
already suspects one, and many look-ups of one device tell more than one. The salt hides nothing; it
changes so that nobody keeps a table for all days, and that the same caller is not seen to be the
same for weeks. Entries are shown to every key with the scope `device`, which may fetch the whole
set anyway. A device that wants to tell nothing at all fetches the set and looks up at home.
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from persona_ray.errors import RequestError
from persona_ray.serving.screening.distribution import Library, changed
from persona_ray.serving.screening.hashing import hash_of
from persona_ray.serving.screening.statements import (
    Act,
    Bucket,
    Hashed,
    Kind,
    Salt,
)
from persona_ray.store.screening.changes import What
from persona_ray.vault.statements import Signed, plain

if TYPE_CHECKING:
    from persona_ray.store.screening.changes import Change, ChangeLog
    from persona_ray.vault.signing import SigningKeys

_PAGE = 1000
# Changes at once from which on a sorted list is better made anew.
_ANEW = 5000
_NUMBERS = Library(Kind.NUMBERS)


class PrivateLookUp:
    """The shared numbers by the first bits of their hashes: about 200 bytes of memory each. Threads
    may share it; it reads the database."""

    def __init__(
        self,
        log: ChangeLog,
        keys: SigningKeys,
        bits: int,
        crowd: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`bits`: most that are asked for; `crowd`: entries of an answer, on average, at least."""
        self._log = log
        self._keys = keys
        self._most_bits = bits
        self._crowd = crowd
        self._now = now
        self._lock = threading.Lock()
        self._version = 0
        self._sequences: dict[str, int] = {}
        self._salt = ""
        # The first 32 bits of each hash, with its number: in order.
        self._hashes: list[tuple[int, str]] = []

    def salt(self) -> Signed:
        """What devices hash with today, and how many bits they tell."""
        epoch, until, salt = self._terms()
        with self._lock:
            self._follow(salt)
            bits = self._bits()
        statement = Salt(kind=Kind.NUMBERS, epoch=epoch, salt=salt, bits=bits, until=until)
        return self._keys.sign(plain(statement))

    def bucket(self, epoch: str, prefix: str) -> Signed:
        """All entries whose hash begins with `prefix` (binary digits).

        Raises RequestError: 409 where the salt is another one by now, 422 for a prefix that so
        many share that it would fetch much of the set.
        """
        now, _, salt = self._terms()
        if epoch != now:
            raise RequestError(
                "sets.salt",
                "the salt has changed since",
                status=409,
                field="epoch",
                fix="ask for the salt again: GET /v1/screening/sets/numbers/salt",
            )
        with self._lock:
            self._follow(salt)
            if len(prefix) < self._bits() - 2:
                raise RequestError(
                    "sets.prefix",
                    f"{len(prefix)} bits are too few: {self._bits()} are asked for",
                    field="prefix",
                    fix="tell as many bits as the salt's answer says",
                )
            numbers = [number for _, number in self._between(prefix)]
            sequences = [self._sequences[number] for number in numbers]
            version = self._version
        statement = Bucket(
            kind=Kind.NUMBERS,
            epoch=epoch,
            prefix=prefix,
            version=version,
            entries=self._entries(salt, sequences),
            issued_at=self._now(),
        )
        return self._keys.sign(plain(statement))

    def _entries(self, salt: str, sequences: list[int]) -> list[Hashed]:
        found = [changed(_NUMBERS, row) for row in self._log.those(Kind.NUMBERS, sequences)]
        entries = [
            Hashed(hash=hash_of(salt, entry.key), payload=entry.payload or {})
            for entry in found
            if entry.act is Act.PUT
        ]
        # In the order of listing they would tell more than they say.
        return sorted(entries, key=lambda entry: entry.hash)

    def _terms(self) -> tuple[str, datetime, str]:
        """Today's name, its end, its salt."""
        today = self._now().astimezone(UTC).date()
        until = datetime.combine(today + timedelta(days=1), time(), UTC)
        secret = self._keys.secret(f"salt of numbers {today}")
        # Another salt, another name: also after a change of keys.
        name = hashlib.sha256(secret).hexdigest()[:8]
        return f"{today}-{name}", until, secret[:16].hex()

    def _bits(self) -> int:
        """So few that a prefix has `crowd` entries, on average."""
        fitting = (len(self._sequences) // self._crowd).bit_length() - 1
        return max(0, min(self._most_bits, fitting))

    def _follow(self, salt: str) -> None:
        """Take in what has changed."""
        state = self._log.state(Kind.NUMBERS)
        is_lost = not state.floor <= self._version <= state.sequence or not self._salt
        if is_lost or state.sequence - self._version > _ANEW:
            self._sequences = {row.key: row.sequence for row in self._standing(state.sequence)}
            self._version, self._salt = state.sequence, ""
        for row in self._since(state.sequence):
            self._take(row)
        self._version = state.sequence
        if self._salt != salt:
            self._hashes = sorted((_first(salt, number), number) for number in self._sequences)
            self._salt = salt

    def _take(self, row: Change) -> None:
        known = self._sequences.pop(row.key, None)
        if row.what is not What.REMOVED:
            self._sequences[row.key] = row.sequence
        place = (_first(self._salt, row.key), row.key)
        if known is None and row.what is not What.REMOVED:
            insort(self._hashes, place)
        elif known is not None and row.what is What.REMOVED:
            del self._hashes[bisect_left(self._hashes, place)]

    def _between(self, prefix: str) -> list[tuple[int, str]]:
        rest = 32 - len(prefix)
        first = int(prefix or "0", 2) << rest
        start = bisect_left(self._hashes, (first, ""))
        return self._hashes[start : bisect_left(self._hashes, (first + (1 << rest), ""))]

    def _standing(self, version: int) -> Iterator[Change]:
        after = ""
        while page := self._log.standing(Kind.NUMBERS, version, _PAGE, after_key=after):
            yield from page
            after = page[-1].key

    def _since(self, to: int) -> Iterator[Change]:
        last = self._version
        while page := self._log.since(Kind.NUMBERS, last, _PAGE, to=to):
            yield from page
            last = page[-1].sequence


def _first(salt: str, number: str) -> int:
    return int(hash_of(salt, number)[:8], 16)
