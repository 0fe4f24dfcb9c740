"""Probabilities of emotions: from strengths, mixed, summed up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from persona_ray.conversation import Emotion

if TYPE_CHECKING:
    from persona_ray.inference.assist.records import Probabilities

# Every emotion keeps this much: no word makes another one impossible.
FLOOR = 0.02
# Of neutral where words were said, and none is known: they may mean anything.
_UNKNOWN = 0.45
# Nothing is felt beyond this strength, so that odds stay finite.
STRONGEST = 0.98
# How good it is for a call: -1 the worst, 1 the best. Our own, after the order of the circumplex of
# affect (Russell 1980), with interest and doubt as sellers see them.
VALENCES: Mapping[Emotion, float] = {
    Emotion.NEUTRAL: 0.0,
    Emotion.PLEASED: 1.0,
    Emotion.INTERESTED: 0.7,
    Emotion.SURPRISED: 0.1,
    Emotion.DOUBTFUL: -0.3,
    Emotion.WORRIED: -0.4,
    Emotion.DISAPPOINTED: -0.6,
    Emotion.ANNOYED: -0.8,
    Emotion.ANGRY: -1.0,
}


def from_strengths(strengths: Mapping[Emotion, float]) -> dict[Emotion, float]:
    """Odds against neutral are s / (1 - s) of each strength s, 0 to 1: of one emotion alone the
    probability is its strength, of none all is neutral."""
    odds = dict.fromkeys(Emotion, 0.0) | {Emotion.NEUTRAL: 1.0}
    for emotion, strength in strengths.items():
        bounded = min(max(strength, 0.0), STRONGEST)
        odds[emotion] = bounded / (1 - bounded)
    total = sum(odds.values())
    rest = 1 - FLOOR * len(odds)
    return {emotion: FLOOR + rest * value / total for emotion, value in odds.items()}


def neutral() -> dict[Emotion, float]:
    """Of nothing said."""
    return from_strengths({})


def unknown() -> dict[Emotion, float]:
    """Of words that say nothing to whoever reads them."""
    rest = (1 - _UNKNOWN) / (len(Emotion) - 1)
    return dict.fromkeys(Emotion, rest) | {Emotion.NEUTRAL: _UNKNOWN}


def mixed(parts: Iterable[tuple[float, Probabilities]]) -> dict[Emotion, float]:
    """The weighted mean. Raises ValueError where the weights sum to nothing."""
    kept = [(weight, row) for weight, row in parts if weight > 0]
    total = sum(weight for weight, _ in kept)
    if total <= 0:
        raise ValueError("the weights of a mixture sum to nothing")
    return {
        emotion: sum(weight * row[emotion] for weight, row in kept) / total for emotion in Emotion
    }


def valence(probabilities: Probabilities) -> float:
    """Expected over `probabilities`, -1 to 1."""
    return sum(VALENCES[emotion] * share for emotion, share in probabilities.items())


def likeliest(probabilities: Probabilities) -> Emotion:
    """Of equals the first."""
    return max(Emotion, key=lambda emotion: probabilities[emotion])
