"""The reference device: fetches sets and libraries, checks what it gets, looks numbers up.

What it fetches is taken in whole or refused, with the reason; what it held before stands. It
refuses what its service's key has not signed (`signature`, `key`), what is about another library
(`kind`), what leads back (`version`) or does not go on from where it is (`order`, `chain`), and
what was said too long ago (`stale`), for a look-up or a head that somebody kept and sends again.

The key is pinned at the first contact; it can be compared by eye before (`--trust KEY_ID`). An
answer 304 is not signed: a head is asked for without its tag once the last signed one is old.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from persona_ray.errors import DistributionError
from persona_ray.serving.screening.device_line import Line, TooOldError
from persona_ray.serving.screening.device_store import DeviceStore, Draft, Kept
from persona_ray.serving.screening.hashing import hash_of, prefix_of
from persona_ray.serving.screening.statements import (
    Bucket,
    Changes,
    Head,
    Kind,
    OfLibrary,
    Payload,
    Salt,
    Snapshot,
    link_of,
)

if TYPE_CHECKING:
    import ssl

    import httpx2

_MAX_AGE = timedelta(days=1)
_CLOCK_SKEW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A library to keep: what is shared by all, or the user's own."""

    kind: Kind
    own: bool = False

    @property
    def name(self) -> str:
        return f"own {self.kind}" if self.own else str(self.kind)


SHARED = (Wanted(Kind.NUMBERS), Wanted(Kind.VOICES))


@dataclass(frozen=True, slots=True)
class Synced:
    """What an update did: from version `before` (None: nothing was here) to `version`, by so many
    changes, with a snapshot or without."""

    name: str
    before: int | None
    version: int
    changes: int
    snapshot: bool


@dataclass(frozen=True, slots=True)
class Found:
    """An entry, the library that it is in, and its version."""

    library: str
    version: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class NotFound:
    """No library has an entry that stands now."""


class Device:
    """A device of one service. Not for several threads."""

    def __init__(
        self,
        url: str,
        store: DeviceStore,
        key: str = "",
        *,
        trust: str = "",
        transport: httpx2.BaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_age: timedelta = _MAX_AGE,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`key`: a bearer key with the scope `device`. `trust`: the id of the service's signing
        key, where it is known beforehand. `max_age`: what was signed longer ago proves nothing.
        `tls`: whose certificates count (`serving.trust`); None: those that the machine trusts."""
        self._store = store
        self._line = Line(url, store, key, trust, transport, tls)
        self._now = now
        self._max_age = max_age
        self._salt: Salt | None = None

    def close(self) -> None:
        self._line.close()

    def sync(self, wanted: Sequence[Wanted] = SHARED, fresh: bool = False) -> list[Synced]:
        """Bring libraries up to date. `fresh`: take them anew, whatever is here, even where the
        service is behind it.

        Raises DistributionError with its reason; libraries keep what was taken in until then.
        """
        return [self._sync(one, fresh) for one in wanted]

    def look_up(self, number: str) -> Found | NotFound:
        """What this device's own sets say of a number (E.164): nobody is asked. Raises
        DistributionError where it has fetched none yet."""
        sets = (Wanted(Kind.NUMBERS, own=True), Wanted(Kind.NUMBERS))
        libraries = [self._store.library(wanted.name) for wanted in sets]
        if libraries == [None, None]:
            raise DistributionError(
                "empty", "this device has fetched no numbers yet: sync it first"
            )
        for wanted, kept in zip(sets, libraries, strict=True):
            payload = self._store.find(wanted.name, number)
            if kept is not None and payload is not None and self._stands(payload):
                return Found(wanted.name, kept.version, payload)
        return NotFound()

    def ask(self, number: str) -> Found | NotFound:
        """What the service's shared set says of a number, which it is not told (`private`)."""
        try:
            return self._ask(number)
        except DistributionError as error:
            if error.reason != "sets.salt":
                raise
        # Its keys or its day changed since.
        self._salt = None
        return self._ask(number)

    def _ask(self, number: str) -> Found | NotFound:
        salt = self._salted()
        hashed = hash_of(salt.salt, number)
        prefix = prefix_of(hashed, salt.bits)
        bucket, _ = self._line.get(
            "/numbers/lookup",
            Bucket,
            OfLibrary(kind=Kind.NUMBERS),
            epoch=salt.epoch,
            prefix=prefix,
        )
        if (bucket.epoch, bucket.prefix) != (salt.epoch, prefix):
            raise DistributionError("order", "the service answered another look-up")
        self._check_age(bucket.issued_at)
        for entry in bucket.entries:
            if entry.hash == hashed and self._stands(entry.payload):
                return Found(Kind.NUMBERS, bucket.version, entry.payload)
        return NotFound()

    def _salted(self) -> Salt:
        if self._salt is None or self._salt.until <= self._now():
            about = OfLibrary(kind=Kind.NUMBERS)
            salt, _ = self._line.get("/numbers/salt", Salt, about)
            if salt.until + self._max_age < self._now():
                raise DistributionError("stale", f"the salt's day was over at {salt.until}")
            self._salt = salt
        return self._salt

    def _sync(self, wanted: Wanted, fresh: bool) -> Synced:
        kept = self._store.library(wanted.name)
        before = None if kept is None else kept.version
        is_recent = kept is not None and self._now() - kept.confirmed_at < self._max_age / 2
        tag = kept.etag if kept is not None and is_recent and not fresh else ""
        told = self._line.ask(f"/{wanted.kind}", Head, self._about(wanted, kept), wanted.own, tag)
        if told is None:
            if kept is None:
                raise DistributionError("order", f"{wanted.name}: no change since nothing")
            return Synced(wanted.name, before, kept.version, 0, False)
        head, etag = told
        self._check_head(wanted, head, None if fresh else kept)
        is_old = fresh or kept is None or kept.version < head.floor
        count, snapshot = 0, is_old
        if not is_old and kept is not None:
            try:
                count = self._follow(wanted, kept, head)
            except TooOldError:
                snapshot = True
        if snapshot:
            least = head.floor if kept is None else max(head.floor, kept.version)
            self._take_snapshot(wanted, head, least, fresh)
            taken = self._store.library(wanted.name)
            if taken is not None:
                count = self._follow(wanted, taken, head)
        self._store.confirm(wanted.name, etag, self._now())
        return Synced(wanted.name, before, head.version, count, snapshot)

    def _check_head(self, wanted: Wanted, head: Head, kept: Kept | None) -> None:
        self._check_age(head.issued_at)
        if kept is None:
            return
        if head.version < kept.version:
            raise DistributionError(
                "version",
                f"{wanted.name}: the service says version {head.version}, this device has "
                f"{kept.version}: an old answer was sent again, or the service was restored from a "
                "backup; if so, --fresh takes what it has",
            )
        if head.version == kept.version:
            _check_link(wanted, kept.link, head.link)

    def _follow(self, wanted: Wanted, kept: Kept, head: Head) -> int:
        """Take in the changes up to `head`; how many."""
        count = 0
        while kept.version < head.version:
            page, _ = self._line.get(
                f"/{wanted.kind}/changes",
                Changes,
                self._about(wanted, kept),
                wanted.own,
                since=kept.version,
                until=head.version,
            )
            _check_page(wanted, kept, head, page)
            self._store.apply(wanted.name, kept, page.changes, page.to, page.link)
            count += len(page.changes)
            kept = replace(kept, version=page.to, link=page.link)
        _check_link(wanted, kept.link, head.link)
        return count

    def _take_snapshot(self, wanted: Wanted, head: Head, least: int, fresh: bool) -> None:
        """Of `head`, or of an earlier version, `least` at least, where one was begun."""
        draft = self._store.draft(wanted.name)
        if draft is not None and (
            fresh or draft.owner != head.owner or not least <= draft.version <= head.version
        ):
            draft = None
        while True:
            begun = draft or self._store.begin(wanted.name, head.owner, head.version, head.link)
            try:
                return self._fetch(wanted, begun)
            except TooOldError:
                if draft is None:
                    raise
                draft = None

    def _fetch(self, wanted: Wanted, draft: Draft) -> None:
        cursor: str = draft.cursor
        about = OfLibrary(kind=wanted.kind, owner=draft.owner)
        while True:
            page, _ = self._line.get(
                f"/{wanted.kind}/snapshot",
                Snapshot,
                about,
                wanted.own,
                version=draft.version,
                after=cursor,
            )
            if (page.version, page.after) != (draft.version, cursor):
                raise DistributionError(
                    "order", f"{wanted.name}: a page of the snapshot is missing or was sent twice"
                )
            _check_link(wanted, draft.link, page.link)
            if page.next is None:
                self._store.finish(wanted.name, draft, page.entries, self._now())
                return
            if not page.entries or page.next == cursor:
                raise DistributionError("order", f"{wanted.name}: the snapshot does not go on")
            self._store.extend(wanted.name, draft, page.entries, page.next)
            cursor = page.next

    def _about(self, wanted: Wanted, kept: Kept | None) -> OfLibrary | None:
        """What statements must be about; None where only the service knows the user's name."""
        if wanted.own:
            return OfLibrary(kind=wanted.kind, owner=kept.owner) if kept else None
        return OfLibrary(kind=wanted.kind)

    def _check_age(self, issued_at: datetime) -> None:
        age = self._now() - issued_at
        if not -_CLOCK_SKEW <= age <= self._max_age:
            raise DistributionError(
                "stale",
                f"the service's answer was signed at {issued_at:%Y-%m-%d %H:%M} UTC, this device's "
                "clock is elsewhere: an old answer was sent again, or a clock is wrong",
            )

    def _stands(self, payload: Payload) -> bool:
        expires_at = payload.get("expires_at")
        return not expires_at or datetime.fromisoformat(str(expires_at)) > self._now()


def _check_page(wanted: Wanted, kept: Kept, head: Head, page: Changes) -> None:
    if page.since != kept.version or not page.since < page.to <= head.version:
        raise DistributionError(
            "order",
            f"{wanted.name}: changes {page.since} to {page.to} do not go on from version "
            f"{kept.version}: a page is missing, or an old one was sent again",
        )
    versions = [page.since, *(change.version for change in page.changes)]
    if versions != sorted(set(versions)) or versions[-1] > page.to:
        raise DistributionError("order", f"{wanted.name}: the changes of a page are out of order")
    _check_link(wanted, kept.link, page.follows)
    last = page.changes[-1] if page.changes and versions[-1] == page.to else None
    _check_link(wanted, "" if last is None else link_of(_library(page), last), page.link)


def _library(page: Changes) -> OfLibrary:
    return OfLibrary(kind=page.kind, owner=page.owner)


def _check_link(wanted: Wanted, ours: str, theirs: str) -> None:
    """Where one of the two is not known any more, nothing can be said."""
    if ours and theirs and ours != theirs:
        raise DistributionError(
            "chain",
            f"{wanted.name}: the service tells another history than before: it was restored from a "
            "backup and went on, or is another one; if it is right, --fresh takes what it has",
        )
