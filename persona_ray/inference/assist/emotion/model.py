"""The emotion model: what a keyword in its context, or a whole sentence, shows by words and sound.

It is a model that reads. The first line of a text is how the sentence sounds, as letters
(`sounding.sound_words`); of a keyword, how it sounds and the keyword follow; the sentence comes
last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.conversation import Emotion
from persona_ray.errors import BundleError
from persona_ray.inference.assist.emotion.sounding import sound_words
from persona_ray.types import Modality

if TYPE_CHECKING:
    from persona_ray.inference.assist.emotion.sounding import Sounding
    from persona_ray.inference.assist.records import Probabilities
    from persona_ray.inference.judge import Judge


def sentence_text(said: Sounding) -> str:
    """What the model reads of a sentence."""
    return _lines(sound_words(said.tone), said.text)


def keyword_text(said: Sounding, start: int, end: int) -> str:
    """What it reads of characters `start` to `end` of it."""
    sound = sound_words(said.tone), sound_words(said.at(start, end))
    return _lines(*sound, said.text[start:end], said.text)


def without_sound(text: str) -> str:
    """Of what either gave: its words alone, for comparison."""
    lines = text.split("\n")
    return _lines(*(lines[1:] if len(lines) == 2 else lines[2:]))


def _lines(*lines: str) -> str:
    return "\n".join(" ".join(line.split()) for line in lines)


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
