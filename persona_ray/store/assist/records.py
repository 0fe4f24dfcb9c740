"""What the repositories of assistance take and hand out. Errors of calls are those of live calls
(`persona_ray.store.live_calls`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

# Whom a push is for.
DEVICE, CUSTOMER = "device", "customer"


class UnknownPushError(LookupError):
    """There is no such push, or its call is gone."""


class NotShownError(LookupError):
    """The push was dropped as too late: nobody can have seen it."""


class UnknownScriptError(LookupError):
    """The push has no such script."""


class RetrainingRunsError(LookupError):
    """Another retraining goes on."""


class LibraryExistsError(LookupError):
    """The version is there with another content."""


class UnknownLibraryError(LookupError):
    """There is no such version of a library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLibrary:
    """A version of a script library; `content` is its JSON, `digest` changes with it."""

    name: str
    version: str
    digest: str
    content: Mapping[str, Any]
    made_at: datetime
    made_by: str
    current: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistCall:
    """One call. `checkpoint` is empty before anything is settled; `events` are so many; `ended_at`
    None: it goes on; `outcome` is empty until somebody tells it."""

    agent_id: str
    call_id: str
    customer_id: str
    scene: Mapping[str, Any]
    sound: Mapping[str, Any]
    generation: int
    checkpoint: Mapping[str, Any]
    events: int
    started_at: datetime
    alive_at: datetime
    ended_at: datetime | None
    outcome: str
    outcome_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.ended_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPush:
    """Scripts for whom `channel` names, the large one first."""

    push_id: str
    channel: str
    scripts: Sequence[str]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSuggestion:
    """What was decided after event `turn` of a call, as JSON; see `inference.assist.journal`.
    `reason` is empty where `push` is what was decided, else why nothing was pushed."""

    turn: int
    at: datetime
    product: str
    context: Mapping[str, Any]
    library: str
    ranker: str
    reason: str = ""
    candidates: Sequence[Mapping[str, Any]] = ()
    shown: Sequence[int] = ()
    chosen: str = ""
    explored: bool = False
    push: NewPush | None = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event of a call's line; with `push_id` that of a push, worth nothing from `expires_at`
    on."""

    body: str
    push_id: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an agent says of a push; action and rating as in `persona_ray.conversation`. An empty
    `script_id` is the large one."""

    action: str
    script_id: str = ""
    rating: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """Feedback as it stands: its score, and whether it counts."""

    said: Said
    score: float
    counted: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSuggestion:
    """A suggestion of a call as it was logged; `push_id` is empty where nothing was pushed."""

    agent_id: str
    call_id: str
    customer_id: str
    turn: int
    at: datetime
    product: str
    context: Mapping[str, Any]
    library: str
    ranker: str
    reason: str
    candidates: Sequence[Mapping[str, Any]]
    shown: Sequence[int]
    chosen: str
    explored: bool
    push_id: str
    outcome: str
    feedback: Given | None


@dataclass(frozen=True, slots=True)
class AgentNotice:
    """An event that an agent's devices are told, under a number that grows; `seq` 0: the call's
    beginning."""

    number: int
    call_id: str
    seq: int
    body: str
    at: datetime
    push_id: str
    expires_at: datetime | None


class PushState(StrEnum):
    """How far a push has come."""

    MADE = "made"
    SENT = "sent"
    SEEN = "seen"
    LATE = "late"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push of a call. Times are None for what has not happened."""

    push_id: str
    agent_id: str
    call_id: str
    turn: int
    channel: str
    scripts: Sequence[str]
    state: PushState
    made_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    seen_at: datetime | None
    late_at: datetime | None
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Scored:
    """What feedback comes to, 0 to 100: a sample, or a negative."""

    score: float
    positive: bool


@dataclass(frozen=True, slots=True)
class CustomerPush:
    """A push on its way to a customer; `body`: its event."""

    push: Push
    customer_id: str
    body: str


@dataclass(frozen=True, slots=True)
class OutcomeTaken:
    """The outcome that stands, whether it counts, and how many pushes were scored anew."""

    outcome: str
    counted: bool
    rescored: int


class Scorer(Protocol):
    """Scores feedback; see `inference.assist.feedback`."""

    def __call__(self, said: Said, outcome: str) -> Scored:
        """`outcome` is empty where the call's is not known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A pair to learn from: what was said (`context`) and the script, with what became of it."""

    number: int
    push_id: str
    agent_id: str
    call_id: str
    customer_id: str
    script_id: str
    positive: bool
    score: float
    at: datetime
    used_by: str
    text: str
    context: Mapping[str, Any]
    library: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """One retraining: `samples` of it up to number `upto`; `state` is `running`, `released`,
    `refused` or `failed`; `before` and `made` are versions of the ranker."""

    retraining_id: str
    reason: str
    started_at: datetime
    ended_at: datetime | None = None
    upto: int = 0
    samples: int = 0
    positives: int = 0
    state: str = "running"
    before: str = ""
    made: str = ""
    judgement: Mapping[str, Any] = field(default_factory=dict)
