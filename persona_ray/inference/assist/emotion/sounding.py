"""How a sentence and parts of it sound, as a model that reads is told it.

Each feature of a tone has two characters, for above and below as usual, which stand once for every
step that it lies away. So the n-grams of a louder voice hold those of a loud one, and one that is
neither high nor fast nor loud says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.conversation import Tone

if TYPE_CHECKING:
    from persona_ray.inference.assist.records import Sentence

# By feature: a step, in its unit, and what stands for one above and one below. Steps are about what
# sentences of one speaker in one mood scatter by.
_STEPS = {
    "pitch_st": (1.1, "高", "低"),
    "range_st": (1.5, "活", "板"),
    "level_db": (1.9, "响", "轻"),
    "rate": (0.15, "快", "慢"),
    "pause": (0.06, "断", "连"),
}
_MOST_STEPS = 5
_VOICED = ("pitch_st", "range_st")


def sound_words(tone: Tone) -> str:
    """A tone in characters; empty where all is as usual. Pitch is left out where there was none."""
    written = []
    for name, (step, above, below) in _STEPS.items():
        value = getattr(tone, name) if tone.voiced or name not in _VOICED else 0.0
        count = min(int(abs(value) / step + 0.5), _MOST_STEPS)
        written.append((above if value > 0 else below) * count)
    return "".join(written)


@dataclass(frozen=True, slots=True)
class Sounding:
    """A sentence as the emotion model is told of it: its words, how it sounds, and how some parts
    of it do (characters from and to)."""

    text: str
    tone: Tone
    parts: tuple[tuple[int, int, Tone], ...] = ()

    @classmethod
    def of(cls, sentence: Sentence) -> Sounding:
        """By its words, which stand in its text one after the other."""
        joined = "".join(word.text for word in sentence.words)
        at = -max(joined.find(sentence.text), 0)
        parts = []
        for word, tone in zip(sentence.words, sentence.tones, strict=True):
            parts.append((at, at + len(word.text), tone))
            at += len(word.text)
        return cls(sentence.text, sentence.tone, tuple(parts))

    def at(self, start: int, end: int) -> Tone:
        """Of characters `start` to `end`: the mean of the parts in it; without one, of all."""
        inside = [tone for begins, ends, tone in self.parts if begins < end and start < ends]
        return _mean(inside) if inside else self.tone


def _mean(tones: Sequence[Tone]) -> Tone:
    if len(tones) == 1:
        return tones[0]
    voiced = [tone for tone in tones if tone.voiced]

    def mean(name: str, of: Sequence[Tone]) -> float:
        return sum(getattr(tone, name) for tone in of) / len(of) if of else 0.0

    return Tone(
        pitch_st=mean("pitch_st", voiced),
        range_st=mean("range_st", voiced),
        level_db=mean("level_db", tones),
        rate=mean("rate", tones),
        pause=mean("pause", tones),
        voiced=bool(voiced),
        sure=mean("sure", tones),
    )
