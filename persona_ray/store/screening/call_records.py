"""What the repository of screened calls takes and hands out, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


class UnknownCallError(LookupError):
    """There is no such call of this user, or it was too long ago."""


class CallExistsError(LookupError):
    """Another call was handed over under this id, or it has begun already."""


class CallEndedError(LookupError):
    """The call has its verdict."""


class CallSupersededError(LookupError):
    """Another connection goes on with the call, or it is gone."""


@dataclass(frozen=True, slots=True)
class ScreenedCall:
    """One call. `checkpoint` is empty before anything is settled; `verdict` None: it goes on.
    `category` is the user's where it was corrected. `answer` is empty until the user gives one."""

    user_id: str
    call_id: str
    ref: str
    number: str
    channel: str
    at: datetime
    decision: str
    source: Mapping[str, Any]
    generation: int
    sound: Mapping[str, Any]
    checkpoint: Mapping[str, Any]
    events: Sequence[str]
    answer: str
    outcome: str
    standing: str
    category: str
    verdict: Mapping[str, Any] | None
    recording: str
    alive_at: datetime
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.verdict is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """What is known of a call when it is handed over."""

    user_id: str
    call_id: str
    number: str
    channel: str
    at: datetime
    decision: str
    source: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """A verdict, and what the user is told of it. Every URL of `webhooks` is sent the notice."""

    outcome: str
    standing: str
    category: str
    body: Mapping[str, Any]
    notice: Mapping[str, Any]
    webhooks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Deleted:
    """Which calls are gone (whom they were for, and their ids), and where their recordings lay."""

    names: tuple[tuple[str, str], ...] = ()
    recordings: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        return len(self.names)
