"""What a lexicon finds in a sentence: keywords, after words of degree, negation and contrast.

The longest word from the left counts. A word of degree or negation acts on the next keyword of its
clause, over `REACH` other characters at most; two negations of one keyword leave half of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.conversation import Emotion
from persona_ray.inference.assist.emotion.distribution import from_strengths, neutral, unknown
from persona_ray.inference.assist.emotion.lexicon import Lexicon, folded

if TYPE_CHECKING:
    from persona_ray.inference.assist.records import Probabilities

REACH = 4
# Of a keyword that is negated twice, or asked for ("满不满意").
_DOUBTED = 0.5
# Words of degree multiply up to this.
_HIGHEST_DEGREE = 3.0


@dataclass(frozen=True, slots=True)
class Found:
    """A keyword: characters `start` to `end`. `strengths` of emotions after its modifiers; in the
    sentence they count `weight`, 0 to 1."""

    text: str
    start: int
    end: int
    strengths: Mapping[Emotion, float]
    weight: float

    @property
    def strength(self) -> float:
        return max(self.strengths.values(), default=0.0)

    @property
    def probabilities(self) -> Probabilities:
        weighed = {emotion: self.weight * s for emotion, s in self.strengths.items()}
        return from_strengths(weighed)


@dataclass(frozen=True, slots=True)
class Reading:
    """Of a sentence: its keywords in order, and what they add up to."""

    keywords: tuple[Found, ...]
    probabilities: Probabilities


@dataclass(slots=True)
class _Modifier:
    """`degree` multiplies; `negates` 0 to 1; `distance`: characters since that are no modifier."""

    degree: float = 1.0
    negates: float = 0.0
    distance: int = 0


def read(lexicon: Lexicon, text: str) -> Reading:
    """The emotion of `text`. Each emotion's strengths add up as independent causes do (noisy or):
    another keyword of it never makes it less. Words none of which is known may mean anything."""
    if not any(map(str.isalnum, text)):
        return Reading((), neutral())
    found = _Scan(lexicon, folded(text)).keywords(text)
    if not found:
        return Reading((), unknown())
    missing: dict[Emotion, float] = {}
    for keyword in found:
        for emotion, strength in keyword.strengths.items():
            left = 1 - strength * keyword.weight
            missing[emotion] = missing.get(emotion, 1.0) * left
    together = {emotion: 1 - left for emotion, left in missing.items()}
    return Reading(tuple(found), from_strengths(together))


class _Scan:
    """One pass over a text."""

    def __init__(self, lexicon: Lexicon, text: str) -> None:
        self._lexicon = lexicon
        self._text = text
        self._pending: list[_Modifier] = []
        self._found: list[Found] = []
        self._contrast = 0

    def keywords(self, original: str) -> list[Found]:
        at = 0
        while at < len(self._text):
            at = self._step(at, original)
        share = self._lexicon.before_contrast
        return [
            Found(one.text, one.start, one.end, one.strengths, one.weight * share)
            if one.start < self._contrast
            else one
            for one in self._found
        ]

    def _step(self, at: int, original: str) -> int:
        """Where the next begins."""
        lexicon = self._lexicon
        if self._asks(at):
            self._pending.append(_Modifier(degree=_DOUBTED))
            return at + 1
        word = self._longest(at)
        end = at + len(word)
        if not word:
            self._pass(at)
            return at + 1
        if word in lexicon.contrasts:
            self._contrast = end
            self._pending.clear()
        elif word in lexicon.degrees and not (word in lexicon.words and self._stands_alone(end)):
            self._pending.append(_Modifier(degree=lexicon.degrees[word]))
        elif word in lexicon.negations:
            self._pending.append(_Modifier(negates=lexicon.negations[word]))
        elif word in lexicon.words:
            end = self._keyword(at, end, original)
        else:
            self._far(len(word))
        return end

    def _longest(self, at: int) -> str:
        lexicon = self._lexicon
        for size in range(min(lexicon.longest, len(self._text) - at), 0, -1):
            word = self._text[at : at + size]
            if (
                word in lexicon.words
                or word in lexicon.exceptions
                or word in lexicon.degrees
                or word in lexicon.negations
                or word in lexicon.contrasts
            ):
                return word
        return ""

    def _stands_alone(self, end: int) -> bool:
        """No keyword begins there: what ends there is one itself, no word of degree."""
        return self._longest(end) not in self._lexicon.words

    def _asks(self, at: int) -> bool:
        """The negation of "满不满意": a question, no negation."""
        text = self._text
        return (
            0 < at < len(text) - 1
            and text[at] in "不没"
            and text[at - 1] == text[at + 1]
            and text[at - 1].isalpha()
        )

    def _pass(self, at: int) -> None:
        if self._text[at].isalnum():
            self._far(1)
        else:
            self._pending.clear()

    def _far(self, characters: int) -> None:
        for modifier in self._pending:
            modifier.distance += characters
        self._pending = [one for one in self._pending if one.distance <= REACH]

    def _keyword(self, start: int, end: int, original: str) -> int:
        lexicon = self._lexicon
        word, degree, after = self._text[start:end], 1.0, ""
        for behind in sorted(lexicon.after, key=len, reverse=True):
            if self._text.startswith(behind, end):
                after, degree = behind, lexicon.after[behind]
                break
        negations = [one.negates for one in self._pending if one.negates]
        degree *= math.prod(one.degree for one in self._pending)
        self._pending.clear()
        degree = min(degree, _HIGHEST_DEGREE)
        strengths = {
            emotion: 1 - (1 - strength) ** degree
            for emotion, strength in lexicon.words[word].items()
        }
        shown = self._negated(strengths, negations)
        weight = lexicon.ambivalent_share if word in lexicon.ambivalent else 1.0
        end += len(after)
        self._found.append(Found(original[start:end], start, end, shown, weight))
        return end

    def _negated(
        self, strengths: dict[Emotion, float], negations: list[float]
    ) -> dict[Emotion, float]:
        if not negations:
            return strengths
        if len(negations) % 2 == 0:
            return {emotion: _DOUBTED * strength for emotion, strength in strengths.items()}
        taken = max(negations)
        shown = {emotion: (1 - taken) * strength for emotion, strength in strengths.items()}
        for emotion, strength in strengths.items():
            for into, share in self._lexicon.negated.get(emotion, {}).items():
                shown[into] = max(shown.get(into, 0.0), taken * share * strength)
        return shown
