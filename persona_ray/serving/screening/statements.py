"""What a device is told of sets and libraries, and the form in which it is signed.

    {"statement": {"type": "changes", ...}, "key_id": "...", "signature": "base64"}

The signature (Ed25519) is over a fixed line and the statement in canonical JSON: names in order, no
spaces, UTF-8, integers but no fractions (a subset of RFC 8785, so that any language writes the same
bytes). A statement says what it is and of which library, so that none can stand for another.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_DOMAIN = b"persona-ray screening statement 1\n"
_MOST = 2**53 - 1
Payload = dict[str, str | int | bool | None]


class Kind(StrEnum):
    """What a library holds, and a report is about."""

    NUMBERS = "numbers"
    VOICES = "voices"


class Act(StrEnum):
    """What a change does to the entry of its key."""

    PUT = "put"
    REMOVE = "remove"


class _Statement(BaseModel):
    """Fields that a newer service adds are passed over, but signed all the same."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class OfLibrary(_Statement):
    """`owner`: the user whose own set it is, empty for what is shared."""

    kind: Kind
    owner: str = Field("", description="the user whose own set it is; empty: shared by all")


class Head(OfLibrary):
    """How far a library has come. A device that is at `version` has nothing to fetch."""

    type: Literal["head"] = "head"
    version: int = Field(ge=0, description="grows by one with each change; 0: there is none yet")
    floor: int = Field(ge=0, description="the oldest version that changes can be had from")
    link: str = Field(description="digest of the last change; empty where it is not kept any more")
    issued_at: datetime = Field(description="when this was so")


class Changed(_Statement):
    """One change. `payload` is the entry as it now is, null where it is removed."""

    version: int
    act: Act
    key: str
    payload: Payload | None
    at: datetime


class Changes(OfLibrary):
    """Changes from a device's version on. `follows` is the digest of the change that made version
    `since`, `link` that of the last one here: pages hang together."""

    type: Literal["changes"] = "changes"
    since: int = Field(ge=0)
    to: int = Field(ge=0)
    follows: str
    link: str
    changes: list[Changed]


class Held(_Statement):
    """An entry of a library."""

    key: str
    payload: Payload


class Snapshot(OfLibrary):
    """A page of what stood at `version`: the entries behind the place `after` up to the place
    `next`, null on the last page."""

    type: Literal["snapshot"] = "snapshot"
    version: int = Field(ge=0)
    link: str
    after: str
    next: str | None
    entries: list[Held]


class Salt(OfLibrary):
    """How to look a number up without naming it: see `private`. `bits`: of its hash to tell."""

    type: Literal["salt"] = "salt"
    epoch: str
    salt: str = Field(description="32 hexadecimal digits")
    bits: int = Field(ge=0, le=32)
    until: datetime


class Hashed(_Statement):
    """An entry under the hash of its key."""

    hash: str
    payload: Payload


class Bucket(OfLibrary):
    """All entries whose hash begins with `prefix`, at `version`."""

    type: Literal["bucket"] = "bucket"
    epoch: str
    prefix: str = Field(description="binary digits")
    version: int
    entries: list[Hashed]
    issued_at: datetime


class Successor(_Statement):
    """Signed by key number `number - 1`: from now on this one signs. The first key has signed
    itself."""

    type: Literal["successor"] = "successor"
    number: int = Field(ge=1)
    key_id: str
    public: str = Field(description="32 bytes of Ed25519, base64")


class Signed(BaseModel):
    """A statement and its signature."""

    statement: dict[str, Any]
    key_id: str = Field(description="of the key that signed")
    signature: str = Field(description="64 bytes of Ed25519, base64")


def canonical(value: object) -> bytes:
    """`value` as JSON that is written in one way only.

    Raises ValueError for what has no such form: fractions, integers beyond 2**53, names that are
    no ASCII text, text that is no Unicode.
    """
    _check(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def to_be_signed(statement: object) -> bytes:
    """The bytes that a signature is over."""
    return _DOMAIN + canonical(statement)


def plain(statement: BaseModel) -> dict[str, Any]:
    """As it is signed and sent."""
    return statement.model_dump(mode="json")


def link_of(library: OfLibrary, change: Changed) -> str:
    """Digest of a change, by which the page that follows names it.

    What the change says of the entry is left out: it is signed where it stands, and may be told in
    other words by a later release. Two histories that part have other times from there on.
    """
    parts = [library.kind, library.owner, change.version, change.act, change.key]
    at = plain(change)["at"]
    return hashlib.sha256(canonical([*parts, at])).hexdigest()


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _check(value: object) -> None:
    # The commonest first: a page has tens of thousands of values.
    if value is None or isinstance(value, str):
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if not (isinstance(name, str) and name.isascii()):
                raise ValueError(f"{name!r}: names are ASCII text")
            if not isinstance(inner, str):
                _check(inner)
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif not isinstance(value, int):
        kind = "fractions: send them as text" if isinstance(value, float) else type(value).__name__
        raise ValueError(f"no canonical form: {kind}")
    elif abs(value) > _MOST:
        raise ValueError("integers are at most 2**53 - 1")
