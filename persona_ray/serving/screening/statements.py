"""What a device is told of sets and libraries.

A statement says what it is and of which library, so that none can stand for another.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from persona_ray.vault.statements import Statement, canonical, plain

Payload = dict[str, str | int | bool | None]


class Kind(StrEnum):
    """What a library holds, and a report is about."""

    NUMBERS = "numbers"
    VOICES = "voices"


class Act(StrEnum):
    """What a change does to the entry of its key."""

    PUT = "put"
    REMOVE = "remove"


class OfLibrary(Statement):
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


class Changed(Statement):
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


class Held(Statement):
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


class Hashed(Statement):
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


def link_of(library: OfLibrary, change: Changed) -> str:
    """Digest of a change, by which the page that follows names it.

    What the change says of the entry is left out: it is signed where it stands, and may be told in
    other words by a later release. Two histories that part have other times from there on.
    """
    parts = [library.kind, library.owner, change.version, change.act, change.key]
    at = plain(change)["at"]
    return hashlib.sha256(canonical([*parts, at])).hexdigest()
