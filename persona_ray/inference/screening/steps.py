"""What a screened call is told, and what it wants done: the inputs and commands of its session.

`at_s` of an input is when it came about, in seconds from the start of the call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from persona_ray.inference.screening.reasons import ReasonCode, Reasons
from persona_ray.inference.screening.records import (
    CategoryJudgement,
    Known,
    LineKind,
    NotListed,
    Standing,
    Turn,
    Verdict,
    VoiceVerdict,
)


class Part(StrEnum):
    """What may fail without the call failing."""

    SOURCES = "sources"
    VOICES = "voices"
    EARS = "ears"
    CATEGORIES = "categories"
    ROBOT = "robot"
    MOUTH = "mouth"


class Choice(StrEnum):
    """What a user wants done with a call, asked or of himself."""

    PASS = "pass"
    REJECT = "reject"
    SCREEN = "screen"
    MESSAGE = "message"


# --- inputs ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceFound:
    """What the caller's number is known as; `choice` where the user was asked about it before."""

    at_s: float
    source: Known | NotListed
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class UserAnswered:
    """The user has said what he wants, at any time of the call."""

    at_s: float
    choice: Choice


@dataclass(frozen=True, slots=True)
class CallerSpeaks:
    """The caller has begun to talk."""

    at_s: float


@dataclass(frozen=True, slots=True)
class CallerQuiet:
    """What was taken for the beginning of speech was none."""

    at_s: float


@dataclass(frozen=True, slots=True)
class UtteranceEnded:
    """The caller has paused. `utterance` numbers them, from 1."""

    at_s: float
    utterance: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Recognized:
    """What was said in an utterance; empty where nothing was."""

    at_s: float
    utterance: int
    text: str


@dataclass(frozen=True, slots=True)
class VoiceJudged:
    """Whose voice it is, by what was said so far."""

    at_s: float
    verdict: VoiceVerdict


@dataclass(frozen=True, slots=True)
class CategoryJudged:
    """The answer to `Judge` number `judging`."""

    at_s: float
    judging: int
    judgement: CategoryJudgement


@dataclass(frozen=True, slots=True)
class RobotAnswered:
    """The answer to `ChooseAnswer` number `answering`."""

    at_s: float
    answering: int
    text: str


@dataclass(frozen=True, slots=True)
class Speaking:
    """The robot speaks; `text` is all that has begun to sound of saying number `saying`."""

    at_s: float
    saying: int
    text: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """A saying is over: its last sound was heard."""

    at_s: float
    saying: int


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """The caller has hung up, or the line is gone."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""

    at_s: float


@dataclass(frozen=True, slots=True)
class PartFailed:
    """A part gave no answer. `number` is that of what it was asked: an utterance, a judging, an
    answering, a saying; 0 for the others."""

    at_s: float
    part: Part
    number: int = 0


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The service cannot go on with the call. `why` is told to the user."""

    at_s: float
    why: ReasonCode


Input = (
    SourceFound
    | UserAnswered
    | CallerSpeaks
    | CallerQuiet
    | UtteranceEnded
    | Recognized
    | VoiceJudged
    | CategoryJudged
    | RobotAnswered
    | Speaking
    | Spoken
    | CallerLeft
    | Ticked
    | PartFailed
    | BrokenOff
)


# --- commands ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the sets for the caller's number: `SourceFound`, or `PartFailed`."""


@dataclass(frozen=True, slots=True)
class AskUser:
    """The phone rings with the reason and the category; `UserAnswered` within `longest_s`."""

    category: str
    name: str
    reasons: Reasons
    longest_s: float


@dataclass(frozen=True, slots=True)
class PickUp:
    """Answer silently: the user hears nothing and is not heard."""


@dataclass(frozen=True, slots=True)
class Say:
    """Speak `text`, or where `line` is given what the dialogue set has for it: `Speaking` as it
    goes on, then `Spoken`, or `PartFailed` of the mouth. One at a time."""

    saying: int
    line: LineKind | None
    text: str


@dataclass(frozen=True, slots=True)
class StopSpeaking:
    """The caller speaks, or the call ends: no more sound of this saying."""

    saying: int


@dataclass(frozen=True, slots=True)
class Listen:
    """It is the caller's turn."""


@dataclass(frozen=True, slots=True)
class Recognize:
    """Hear utterance `utterance`: `Recognized`, or `PartFailed` of the ears."""

    utterance: int


@dataclass(frozen=True, slots=True)
class Judge:
    """What the call is about: `CategoryJudged`, or `PartFailed`."""

    judging: int
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class ChooseAnswer:
    """What to say: `RobotAnswered`, or `PartFailed`."""

    answering: int
    turns: tuple[Turn, ...]
    judgement: CategoryJudgement | None


@dataclass(frozen=True, slots=True)
class NoteTurn:
    """A turn is over: the transcript goes on with it."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Tell:
    """The user is told while the call goes on: whose voice it is, or what the call is about."""

    standing: Standing
    category: str
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class TakeMessage:
    """From now on the caller leaves a message, of `longest_s` at most."""

    longest_s: float


@dataclass(frozen=True, slots=True)
class Pass:
    """Put the caller through; `name`, `category` and `reasons` are shown."""

    name: str
    category: str
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not take the call, or end it: the user or the sets want it."""

    reasons: Reasons


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller is illegal: end the call at once. `reasons` name the evidence."""

    reasons: Reasons


@dataclass(frozen=True, slots=True)
class EndCall:
    """The conversation is over: end the call."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """The call is over. The last command of a session, and there is one in every session."""

    verdict: Verdict


Command = (
    LookUp
    | AskUser
    | PickUp
    | Say
    | StopSpeaking
    | Listen
    | Recognize
    | Judge
    | ChooseAnswer
    | NoteTurn
    | Tell
    | TakeMessage
    | Pass
    | Reject
    | HangUp
    | EndCall
    | Conclude
)
