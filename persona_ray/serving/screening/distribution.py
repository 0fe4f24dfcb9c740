"""Sets and libraries for devices: signed heads, changes since a version, snapshots.

A version is the sequence of the last change in the log (`persona_ray.store.screening.changes`), so
that nothing is kept beside the log, and every replica answers alike. Going back to what stood
earlier is a change like any other (`rollback`): versions never fall.

A device can check that nothing is missing or out of order: a page names the versions that it leads
from and to, and the digest of the change before it. An entry is told in the words of `published`,
whatever else the log knows of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from persona_ray.errors import RequestError
from persona_ray.serving.screening.statements import (
    Act,
    Changed,
    Changes,
    Head,
    Held,
    Kind,
    OfLibrary,
    Payload,
    Snapshot,
    link_of,
)
from persona_ray.store.screening.changes import What
from persona_ray.vault.statements import Signed, plain

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

    from persona_ray.store.screening.changes import Change, ChangeLog, StreamState
    from persona_ray.vault.signing import SigningKeys

# What devices are told of an entry; why it is there, and by whose reports, stays here.
_TOLD: Mapping[Kind, tuple[str, ...]] = {
    Kind.NUMBERS: ("standing", "category", "name", "origin", "expires_at"),
    Kind.VOICES: ("standing", "category", "origin", "engine", "voiceprint", "expires_at"),
}


@dataclass(frozen=True, slots=True)
class Library:
    """`owner`: the user whose own set it is, empty for what is shared."""

    kind: Kind
    owner: str = ""

    def named(self) -> OfLibrary:
        return OfLibrary(kind=self.kind, owner=self.owner)


class Distributor:
    """Answers devices. Threads may share it; it reads the database."""

    def __init__(
        self,
        log: ChangeLog,
        keys: SigningKeys,
        page: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`page`: most entries or changes of one answer."""
        self._log = log
        self._keys = keys
        self._page = page
        self._now = now

    def head(self, library: Library) -> Signed:
        """How far a library has come."""
        state = self._state(library)
        statement = Head(
            kind=library.kind,
            owner=library.owner,
            version=state.sequence,
            floor=state.floor,
            link=self._link(library, state.sequence),
            issued_at=self._now(),
        )
        return self._keys.sign(plain(statement))

    def changes(self, library: Library, since: int, until: int | None) -> Signed:
        """The next page of changes behind version `since`, none behind `until`.

        Raises RequestError: 410 where they are not kept any more, 409 where the library never came
        as far as `since`.
        """
        state = self._state(library)
        _check_since(library, since, state)
        last = state.sequence if until is None else min(until, state.sequence)
        # With the change that made `since`, which the page follows.
        found = self._rows(library, max(since - 1, 0), self._page + 1, last) if last > since else []
        changes = [changed(library, row) for row in found]
        follows = ""
        if since and last > since:
            if not changes or changes[0].version != since:
                raise _too_old(library, since, state)
            follows = link_of(library.named(), changes.pop(0))
        changes = changes[: self._page]
        full = len(changes) == self._page
        to = changes[-1].version if full else max(last, since)
        is_last = bool(changes) and changes[-1].version == to
        statement = Changes(
            kind=library.kind,
            owner=library.owner,
            since=since,
            to=to,
            follows=follows,
            link=link_of(library.named(), changes[-1]) if is_last else "",
            changes=changes,
        )
        return self._keys.sign(plain(statement))

    def snapshot(self, library: Library, version: int | None, after: str) -> Signed:
        """A page of what stood at `version` (None: now), behind the place `after`, the `next` of
        another page; empty: from the beginning.

        Raises RequestError: 410 where that can't be told any more, 409 where it never was.
        """
        state = self._state(library)
        version = state.sequence if version is None else version
        _check_since(library, version, state)
        found = self._log.standing(
            library.kind, version, self._page + 1, library.owner, after_key=self._key_at(after)
        )
        entries = [changed(library, row) for row in found[: self._page]]
        statement = Snapshot(
            kind=library.kind,
            owner=library.owner,
            version=version,
            link=self._link(library, version),
            after=after,
            next=self._place_of(entries[-1].key) if len(found) > self._page else None,
            entries=[Held(key=entry.key, payload=entry.payload or {}) for entry in entries],
        )
        return self._keys.sign(plain(statement))

    def _place_of(self, key: str) -> str:
        """A place in a snapshot. Addresses are logged everywhere: the number is not in them."""
        return _cipher(self._keys).encrypt(key.encode()).decode()

    def _key_at(self, place: str) -> str:
        from cryptography.fernet import InvalidToken

        if not place:
            return ""
        try:
            return _cipher(self._keys).decrypt(place).decode()
        except InvalidToken:
            raise RequestError(
                "sets.place",
                "there is no such place in a snapshot, or the service's key has changed since",
                status=410,
                field="after",
                fix="begin the snapshot anew, without 'after'",
            ) from None

    def _state(self, library: Library) -> StreamState:
        return self._log.state(library.kind, library.owner)

    def _rows(self, library: Library, since: int, limit: int, to: int) -> list[Change]:
        return self._log.since(library.kind, since, limit, library.owner, to=to)

    def _link(self, library: Library, version: int) -> str:
        """Of the change that made `version`; empty where it is not kept."""
        rows = self._rows(library, version - 1, 1, version) if version else []
        return link_of(library.named(), changed(library, rows[0])) if rows else ""


def _cipher(keys: SigningKeys) -> Fernet:
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(keys.secret("places in snapshots")))


def changed(library: Library, change: Change) -> Changed:
    """A change of the log as devices are told it."""
    removed = change.what is What.REMOVED or change.payload is None
    return Changed(
        version=change.sequence,
        act=Act.REMOVE if removed else Act.PUT,
        key=change.key,
        payload=None if removed else published(library.kind, change.payload or {}),
        at=change.at,
    )


def published(kind: Kind, payload: Mapping[str, Any]) -> Payload:
    """What devices are told of an entry."""
    told = {name: payload[name] for name in _TOLD[kind] if payload.get(name) is not None}
    for name, value in told.items():
        if isinstance(value, float) or not isinstance(value, str | int):
            raise TypeError(f"{kind}: '{name}' of an entry is no text, integer or truth value")
    return told


def _check_since(library: Library, version: int, state: StreamState) -> None:
    if version > state.sequence:
        raise RequestError(
            "sets.ahead",
            f"{library.kind} never came as far as version {version}: this is {state.sequence}",
            status=409,
            field="since",
            fix="the service may have been restored from a backup; devices then need --fresh",
        )
    if version < state.floor:
        raise _too_old(library, version, state)


def _too_old(library: Library, version: int, state: StreamState) -> RequestError:
    return RequestError(
        "sets.too_old",
        f"changes of {library.kind} since version {version} are not kept: they go back to "
        f"{state.floor}",
        status=410,
        field="since",
        fix=f"take the snapshot: GET /v1/screening/sets/{library.kind}/snapshot",
    )
