"""Emotion of a sentence: what the lexicon says and what the model says, weighted.

Both parts answer for each keyword and for the sentence. The lexicon's answer for a sentence is its
keywords' already (noisy or). The model reads the sentence whole, and each keyword in it; its answer
is the mean of what it says of the whole and of the keywords, the keywords by their strength: the
whole knows what stands between keywords, the keywords keep a long sentence from drowning the one
word that matters. Lexicon and model are then mixed linearly, so that a part which knows nothing
(no entry found, words never learnt) takes away certainty and cannot forbid what the other knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from persona_ray.inference.assist.emotion.distribution import mixed, valence
from persona_ray.inference.assist.emotion.model import keyword_text, sentence_text
from persona_ray.inference.assist.emotion.reading import read
from persona_ray.inference.assist.emotion.sounding import Sounding
from persona_ray.inference.assist.records import KeywordEmotion, Mood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from persona_ray.inference.assist.emotion.lexicon import Lexicon
    from persona_ray.inference.assist.emotion.reading import Found
    from persona_ray.inference.assist.records import Probabilities, Sentence

# Of the keywords, in what the model says of a sentence that has any.
KEYWORDS = 0.5


class Reads(Protocol):
    """What an emotion model does."""

    @property
    def name(self) -> str: ...

    def probabilities(self, texts: Sequence[str]) -> list[Probabilities]: ...


@dataclass(frozen=True, slots=True)
class Weights:
    """Of both parts; they sum to 1."""

    lexicon: float = 0.4

    @property
    def model(self) -> float:
        return 1 - self.lexicon


class MoodReader:
    """Reads sentences. Holds no state between them; safe to be asked from many threads."""

    def __init__(self, lexicon: Lexicon, model: Reads | None, weights: Weights) -> None:
        """Without a model the lexicon alone answers, and what the model says is empty."""
        self._lexicon = lexicon
        self._model = model
        self._weights = weights

    @property
    def name(self) -> str:
        """Of its parts and their versions."""
        lexicon = f"lexicon {self._lexicon.version}"
        return lexicon if self._model is None else f"{lexicon} + {self._model.name}"

    def mood(self, sentence: Sentence) -> Mood:
        """Of a sentence; one without words is neutral as far as anything tells."""
        said = Sounding.of(sentence)
        reading = read(self._lexicon, said.text)
        whole, of_keywords = self._told(said, reading.keywords)
        combined = self._combined(reading.probabilities, whole)
        return Mood(
            combined=combined,
            lexicon=reading.probabilities,
            model=whole,
            valence=valence(combined),
            keywords=tuple(
                self._keyword(one, row)
                for one, row in zip(reading.keywords, of_keywords, strict=True)
            ),
        )

    def _told(
        self, said: Sounding, keywords: Sequence[Found]
    ) -> tuple[Probabilities, Sequence[Probabilities]]:
        """By the model: of the sentence, and of each keyword."""
        if self._model is None:
            return {}, [{} for _ in keywords]
        texts = [keyword_text(said, one.start, one.end) for one in keywords]
        whole, *rows = self._model.probabilities([sentence_text(said), *texts])
        return whole_of(whole, keywords, rows), rows

    def _keyword(self, found: Found, model: Probabilities) -> KeywordEmotion:
        lexicon = found.probabilities
        return KeywordEmotion(
            text=found.text,
            start=found.start,
            end=found.end,
            strength=found.strength,
            lexicon=lexicon,
            model=model,
            combined=self._combined(lexicon, model),
        )

    def _combined(self, lexicon: Probabilities, model: Probabilities) -> Probabilities:
        if not model:
            return lexicon
        return mixed([(self._weights.lexicon, lexicon), (self._weights.model, model)])


def whole_of(
    whole: Probabilities, keywords: Sequence[Found], of_keywords: Sequence[Probabilities]
) -> Probabilities:
    """What a model says of a sentence: of all of it, and of its keywords by their strength."""
    parts = [
        (one.strength * one.weight, row) for one, row in zip(keywords, of_keywords, strict=True)
    ]
    if sum(weight for weight, _ in parts) <= 0:
        return whole
    return mixed([(1 - KEYWORDS, whole), (KEYWORDS, mixed(parts))])
