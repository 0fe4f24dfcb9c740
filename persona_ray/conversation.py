"""Frozen records of assisted conversations that flow between rooms: what was said, how it sounded,
what may be answered. Seconds are floats from the start of the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Speaker(StrEnum):
    """Whose channel."""

    AGENT = "agent"
    CUSTOMER = "customer"


class Emotion(StrEnum):
    """What a keyword or a sentence shows. `neutral` is one of them: its probability says how little
    the others are shown."""

    NEUTRAL = "neutral"
    PLEASED = "pleased"
    INTERESTED = "interested"
    SURPRISED = "surprised"
    DOUBTFUL = "doubtful"
    WORRIED = "worried"
    DISAPPOINTED = "disappointed"
    ANNOYED = "annoyed"
    ANGRY = "angry"


class Relation(StrEnum):
    """How a sentence follows from the last turns."""

    QUESTION = "question"
    ANSWER = "answer"
    OBJECTION = "objection"
    AGREEMENT = "agreement"
    REPETITION = "repetition"
    TOPIC_CHANGE = "topic_change"
    STATEMENT = "statement"


class Action(StrEnum):
    """What an agent did with a pushed script."""

    USED = "used"
    EDITED = "edited"
    DISMISSED = "dismissed"


class Rating(StrEnum):
    """An agent's word on a pushed script."""

    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


class Outcome(StrEnum):
    """What a call came to."""

    AGREED = "agreed"
    CALLBACK = "callback"
    DECLINED = "declined"
    HUNG_UP = "hung_up"


@dataclass(frozen=True, slots=True)
class Tone:
    """How a stretch of speech sounds beside the speaker's own baseline: 0 is as usual.

    `pitch_st`: median pitch, in semitones; `range_st`: spread of the pitch (10 to 90 %), in
    semitones; `level_db`: loudness of its speech; `rate`: log2 of the ratio of syllables a second;
    `pause`: share of pauses less the usual share. `voiced` false: there was no pitch to measure,
    both pitches are then 0. `sure`, 0 to 1: how much speech of the speaker the baseline rests on.
    """

    pitch_st: float = 0.0
    range_st: float = 0.0
    level_db: float = 0.0
    rate: float = 0.0
    pause: float = 0.0
    voiced: bool = False
    sure: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Where in which business a call is: `product` and `campaign` by the names that the script
    library uses, `step` one of `assist.steps`."""

    product: str
    step: str
    campaign: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """When a script may be said: each field that is not empty must hold. `never` are emotions after
    which it may not be."""

    steps: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()
    relations: tuple[Relation, ...] = ()
    emotions: tuple[Emotion, ...] = ()
    never: tuple[Emotion, ...] = ()
    colours: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What an agent may say. `answers`: sentences of customers that it was written for; `product`
    empty: any; `topic` and `style` are the owner's words; `max_uses` of one call."""

    id: str
    text: str
    answers: tuple[str, ...]
    product: str = ""
    topic: str = ""
    style: str = ""
    conditions: Conditions = field(default_factory=Conditions)
    max_uses: int = 1


@dataclass(frozen=True, slots=True)
class ScriptLibrary:
    """Scripts of one version: `version` is the owner's word, `digest` changes with the content."""

    name: str
    version: str
    scripts: Mapping[str, Script]
    digest: str
