"""What the parts of screening tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from persona_ray.inference.screening.reasons import Reasons, in_english


class Standing(StrEnum):
    """What policy makes of a category, a number or a voice."""

    NORMAL = "normal"
    ABNORMAL = "abnormal"
    ILLEGAL = "illegal"


class Channel(StrEnum):
    """What sound went through; thresholds of voices differ between them."""

    TELEPHONE = "telephone"
    WIDEBAND = "wideband"


class Origin(StrEnum):
    """Who put an entry into a set or library."""

    USER = "user"
    OPERATOR = "operator"
    CALL = "call"
    REPORTS = "reports"
    CORRECTION = "correction"


class Speaker(StrEnum):
    """Of a turn: who called, or the dialogue robot that answers."""

    CALLER = "caller"
    ROBOT = "robot"


class LineKind(StrEnum):
    """What the robot says of itself: as the call begins; after silence; when nothing could be
    made out; to have a message left; as the call ends."""

    OPENING = "opening"
    SILENCE = "silence"
    REPEAT = "repeat"
    MESSAGE = "message"
    GOODBYE = "goodbye"


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A call that comes in. `number` is E.164 (+8613...), empty where it is withheld; `user_id` is
    whom it is for."""

    call_id: str
    user_id: str
    number: str
    at: datetime
    channel: Channel = Channel.TELEPHONE


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said without being interrupted, in seconds from the start of the call."""

    speaker: Speaker
    text: str
    start_s: float
    end_s: float


# --- what a number is known as -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """A number in a set: `owner` is the user whose own set it is, empty for the shared ones.
    `name` is whom to show, `category` why it stands there (empty: not known)."""

    number: str
    standing: Standing
    category: str
    name: str
    owner: str
    origin: Origin
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class NotListed:
    """A number that stands in no set, or none at all (withheld)."""


# --- whose voice it is -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VoiceMatch:
    """A voice of a library: its score is above the channel's threshold, and by `margin` above that
    of any voice of another person."""

    voice_id: str
    category: str
    standing: Standing
    score: float
    margin: float


@dataclass(frozen=True, slots=True)
class VoiceUnknown:
    """Enough was said, and it is nobody in the libraries. `nearest`: the best score; None where
    the libraries are empty."""

    nearest: float | None


@dataclass(frozen=True, slots=True)
class NotEnoughSpeech:
    """Too little was said to tell: `speech_s` of `needed_s`."""

    speech_s: float
    needed_s: float


VoiceVerdict = VoiceMatch | VoiceUnknown | NotEnoughSpeech


# --- what the call is about --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CategoryJudgement:
    """Probabilities of the categories after `turns` turns of the caller, by model `model`
    (name and version)."""

    probabilities: Mapping[str, float]
    turns: int
    model: str

    @property
    def category(self) -> str:
        return max(self.probabilities, key=lambda name: self.probabilities[name])


# --- what becomes of a call --------------------------------------------------------------------


class Outcome(StrEnum):
    """How a call ended, or goes on."""

    PASSED = "passed"
    ASKED = "asked"
    MESSAGE = "message"
    REJECTED = "rejected"
    HUNG_UP = "hung_up"
    SCREENED = "screened"
    CALLER_LEFT = "caller_left"
    BROKEN_OFF = "broken_off"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the user is told. `standing` and `category` (empty: not known) are the system's;
    `reasons` say what they rest on; `evidence` are numbers by name; `models` name
    and version of each model that had a part."""

    call: CallEvent
    outcome: Outcome
    standing: Standing | None
    category: str
    reasons: Reasons
    turns: tuple[Turn, ...]
    voice: VoiceVerdict | None
    judgement: CategoryJudgement | None
    evidence: Mapping[str, float]
    models: Mapping[str, str]
    decided_s: float | None
    duration_s: float

    @property
    def reason(self) -> str:
        """In English."""
        return in_english(self.reasons)
