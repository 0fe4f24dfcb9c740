"""Which mood a customer is in, and whether words or tone show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.conversation import Emotion

if TYPE_CHECKING:
    from persona_ray.synth.assist.wording import Wording

VALENCE: Mapping[Emotion, float] = {
    Emotion.NEUTRAL: 0.0,
    Emotion.PLEASED: 0.9,
    Emotion.INTERESTED: 0.5,
    Emotion.SURPRISED: 0.0,
    Emotion.DOUBTFUL: -0.3,
    Emotion.WORRIED: -0.4,
    Emotion.DISAPPOINTED: -0.7,
    Emotion.ANNOYED: -0.6,
    Emotion.ANGRY: -1.0,
}
_N, _P, _I, _S, _D, _W, _X, _A, _G = Emotion
_TOPICS: Mapping[str, Mapping[Emotion, float]] = {
    "identity": {_N: 4, _D: 2, _A: 1, _S: 0.7, _W: 0.5},
    "no_time": {_N: 4, _A: 3, _G: 0.8, _P: 0.3},
    "not_interested": {_N: 4, _A: 2.5, _X: 0.6, _G: 0.7, _D: 0.6},
    "already_have": {_N: 4, _P: 1, _A: 1, _I: 0.5},
    "needs": {_N: 3, _I: 2.5, _P: 1.2, _W: 1},
    "price": {_N: 3, _I: 2, _D: 1.2, _S: 1.2, _W: 0.8},
    "fee": {_N: 1.5, _A: 2.5, _G: 1.3, _S: 1.2, _X: 1.2, _D: 0.8},
    "safety": {_N: 1.5, _W: 3, _D: 2.5, _G: 0.4},
    "process": {_N: 3.5, _I: 2, _W: 0.8, _P: 0.9, _A: 0.4},
    "family_decides": {_N: 3, _W: 2, _D: 1, _P: 0.3, _X: 0.5},
    "bad_experience": {_N: 0.8, _G: 2, _X: 2.5, _A: 1.5, _D: 0.7},
    "interested": {_N: 2, _I: 3.5, _P: 1.5, _S: 0.9, _D: 0.6},
    "agree": {_N: 2.5, _P: 3, _I: 0.8, _W: 0.5},
}
_COLOURS: Mapping[str, Mapping[Emotion, float]] = {
    "red": {_A: 1.6, _G: 1.6, _W: 0.6},
    "blue": {_D: 1.8, _W: 1.2, _G: 0.6},
    "yellow": {_P: 1.6, _I: 1.4, _S: 1.5, _D: 0.6},
    "green": {_W: 1.7, _X: 1.4, _G: 0.4},
}
_COURSE = 1.2  # how strongly the course of the call colours the next sentence
# Of sentences that are not neutral; of neutral ones.
BY_BOTH, BY_WORDS, BY_TONE = 0.45, 0.20, 0.35
_UNCLEAR = 0.75  # of moods by tone: with words that may mean it
_MOCKING = 0.12  # of moods below, by tone: with words of pleasure
# Of neutral sentences: with a mood denied, with words that could mean one, with words of one that
# is not felt.
_DENIED, _NEUTRAL_UNCLEAR, _NOT_FELT = 0.12, 0.28, 0.20


class Shown(StrEnum):
    """Where a mood is to be found."""

    BOTH = "both"
    WORDS = "words"
    TONE = "tone"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Showing:
    """How a sentence shows its mood: by a clause, by the mood that it `sounds` like."""

    shown: Shown
    clause: str
    sounds: Emotion


def expected(topic: str, colour: str, course: float) -> dict[Emotion, float]:
    """Probabilities of moods. `course`, -1 to 1: how the call went so far."""
    odds = {
        emotion: value
        * _COLOURS[colour].get(emotion, 1.0)
        * float(np.exp(_COURSE * course * VALENCE[emotion]))
        for emotion, value in _TOPICS[topic].items()
    }
    total = sum(odds.values())
    return {emotion: value / total for emotion, value in odds.items()}


def show(rng: np.random.Generator, found: Sequence[tuple[Showing, float]]) -> Showing:
    """One of `ways`."""
    # As `rng.choice` does it, which checks and sums the chances each time.
    place = np.searchsorted(np.cumsum([chance for _, chance in found]), rng.random())
    return found[min(int(place), len(found) - 1)][0]


def ways(wording: Wording, emotion: Emotion) -> tuple[tuple[Showing, float], ...]:
    """How a mood may be shown, with probabilities. Who is neutral sounds it, whatever the words;
    who is cross may say something nice."""
    plain = list(wording.explicit[emotion])
    unclear = [one.text for one in wording.meaning(emotion)]
    kinds: list[tuple[Shown, list[str], Emotion, float]]
    if emotion is Emotion.NEUTRAL:
        kinds = [
            (Shown.NEITHER, plain, emotion, _DENIED),
            (Shown.NEITHER, unclear, emotion, _NEUTRAL_UNCLEAR),
            (Shown.NEITHER, _moody(wording), emotion, _NOT_FELT),
            (Shown.NEITHER, [""], emotion, 1 - _DENIED - _NEUTRAL_UNCLEAR - _NOT_FELT),
        ]
    else:
        clear = _UNCLEAR if unclear else 0.0
        mocking = _MOCKING if emotion in (Emotion.ANNOYED, Emotion.ANGRY) else 0.0
        kinds = [
            (Shown.BOTH, plain, emotion, BY_BOTH),
            (Shown.WORDS, plain, Emotion.NEUTRAL, BY_WORDS),
            (Shown.TONE, unclear, emotion, BY_TONE * clear),
            (Shown.TONE, list(wording.explicit[Emotion.PLEASED]), emotion, BY_TONE * mocking),
            (Shown.TONE, [""], emotion, BY_TONE * (1 - clear - mocking)),
        ]
    return tuple(
        (Showing(shown, clause, sounds), chance / len(clauses))
        for shown, clauses, sounds, chance in kinds
        for clause in clauses
    )


def _moody(wording: Wording) -> list[str]:
    """What is said of moods as a manner of speaking."""
    return [
        clause
        for emotion, clauses in wording.explicit.items()
        if emotion is not Emotion.NEUTRAL
        for clause in clauses
    ]
