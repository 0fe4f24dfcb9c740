"""The emotion model: what a keyword in its context, or a whole sentence, shows by words and sound.

It is a model that reads. A text of it has three lines: how it sounds in words
(`inference.assist.tone_words`), the keyword (of a sentence: none), the sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.conversation import Emotion, Tone
from persona_ray.errors import BundleError
from persona_ray.inference.assist.tone_words import tone_words
from persona_ray.types import Modality

if TYPE_CHECKING:
    from persona_ray.inference.assist.records import Probabilities
    from persona_ray.inference.judge import Judge


def sentence_text(text: str, tone: Tone) -> str:
    """What the model reads of a sentence."""
    return _lines(tone, "", text)


def keyword_text(text: str, start: int, end: int, tone: Tone) -> str:
    """What it reads of characters `start` to `end` of a sentence."""
    return _lines(tone, text[start:end], text)


def _lines(tone: Tone, keyword: str, text: str) -> str:
    return "\n".join([tone_words(tone), *(" ".join(part.split()) for part in (keyword, text))])


class EmotionReader:
    """A loaded bundle. Holds no state between calls; safe to be asked from many threads."""

    def __init__(self, judge: Judge, name: str) -> None:
        """`name`: of the model and its version."""
        self._judge = judge
        self.name = name

    @classmethod
    def load(cls, bundle: Path, name: str = "", device: str = "cpu") -> EmotionReader:
        """`name` empty: `emotion` and the beginning of the bundle's digest. Raises BundleError for
        a damaged bundle, one that does not only read, or whose labels are no emotions."""
        from persona_ray.inference.judge import Judge
        from persona_ray.models.manifest import digest, read_contract

        modality = read_contract(bundle).modality
        if modality is not Modality.TEXT:
            raise BundleError(
                f"bundle {bundle} is of modality {modality}: an emotion model reads only; train "
                "one with `persona-ray assist train-emotion`"
            )
        judge = Judge.load(bundle, min_level_db=0.0, device=device)
        unknown = sorted(set(judge.labels) - {emotion.value for emotion in Emotion})
        if unknown:
            raise BundleError(
                f"bundle {bundle} knows '{unknown[0]}', which is no emotion: train one with "
                "`persona-ray assist train-emotion`"
            )
        return cls(judge, name or f"emotion {digest(bundle)[:12]}")

    def probabilities(self, texts: Sequence[str]) -> list[Probabilities]:
        """Of every emotion, for each of `texts`; one that the model never learnt has 0."""
        from persona_ray.inference.judge import BATCH_TEXTS

        rows: list[Probabilities] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            vectors = self._judge.text_vectors(texts[start : start + BATCH_TEXTS])
            rows += [_all(row.probabilities) for row in self._judge.probabilities((), vectors)]
        return rows


def _all(row: Mapping[str, float]) -> Probabilities:
    return {emotion: row.get(emotion.value, 0.0) for emotion in Emotion}
