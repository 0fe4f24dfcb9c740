"""How moods sound beside the speaker's own baseline, and how far sentences scatter around it.

What is drawn is what a listener has who knows the speaker only by the call so far: the less was
heard, the more a difference is taken for the speaker's own way, and shrunk (see
`inference.assist.baseline`). With s how sure the baseline is:

    gain = within^2 / (within^2 + (1 - s) between^2)
    tone = gain * heard * sound of the mood + sqrt(gain) * within * noise

`heard`: a baseline moves with the moods that it is made of, which takes a part of the pitch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.conversation import Emotion, Tone

if TYPE_CHECKING:
    from numpy.typing import NDArray

# pitch_st, range_st, level_db, rate, pause: the units of `conversation.Tone`.
_PLAIN = (0.0, 0.0, 0.0, 0.0, 0.0)
SOUNDS: Mapping[Emotion, tuple[float, ...]] = {
    Emotion.NEUTRAL: _PLAIN,
    Emotion.PLEASED: (2.2, 2.0, 1.5, 0.05, -0.02),
    Emotion.INTERESTED: (1.5, 1.0, 0.5, 0.25, -0.04),
    Emotion.SURPRISED: (4.5, 2.5, 2.5, -0.05, 0.02),
    Emotion.DOUBTFUL: (0.8, 0.5, -1.0, -0.30, 0.15),
    Emotion.WORRIED: (2.5, -1.0, -2.5, 0.10, 0.12),
    Emotion.DISAPPOINTED: (-2.5, -1.0, -3.0, -0.25, 0.10),
    Emotion.ANNOYED: (0.8, 0.5, 4.0, 0.35, -0.05),
    Emotion.ANGRY: (3.5, 2.0, 7.0, 0.25, -0.06),
}
# What a measured tone shows of it: synthesised speech gives 0.7 of the pitch and a fifth of the
# range, which it cannot plant (`benchmarks/assist_tones.py`); of the range, people give more.
HEARD = np.array([0.7, 0.5, 1.0, 1.0, 1.0])
# Between sentences of one speaker, wider than in synthesised speech and narrower than in what
# people read (`inference.assist.baseline`); and between speakers.
WITHIN = np.array([1.4, 1.7, 2.2, 0.18, 0.065])
BETWEEN = np.array([5.0, 1.5, 5.0, 0.2, 0.05])
_KEYWORD = np.array([1.1, 1.2, 1.8, 0.2, 0.0])  # of a word around its sentence
_MORE = 0.3  # of the mood's sound, on the word that carries it
_UNVOICED = 0.03


def planted(sounds: Emotion) -> Tone:
    """As it is spoken, without scatter."""
    return _tone(np.array(SOUNDS[sounds]), True, 1.0)


def draw(rng: np.random.Generator, sounds: Emotion, sure: float) -> Tone:
    """A sentence's, where the mood `sounds` is heard; `sure`, 0 to 1."""
    gain = _gain(sure)
    noise = np.sqrt(gain) * WITHIN * rng.standard_normal(5)
    return _tone(gain * HEARD * np.array(SOUNDS[sounds]) + noise, rng.random() >= _UNVOICED, sure)


def of_keyword(rng: np.random.Generator, sentence: Tone, sounds: Emotion) -> Tone:
    """Of a word that carries the mood: it shows a little more of it than its sentence does."""
    values = _values(sentence) + _gain(sentence.sure) * (
        _MORE * HEARD * np.array(SOUNDS[sounds]) + _KEYWORD * rng.standard_normal(5)
    )
    values[4] = 0.0  # a word has no pauses
    return _tone(values, sentence.voiced, sentence.sure)


def likelihood(tone: Tone, sounds: Emotion) -> float:
    """Density of `draw`, but for a factor: what an ideal reader knows."""
    gain = _gain(tone.sure)
    away = (_values(tone) - gain * HEARD * np.array(SOUNDS[sounds])) / (np.sqrt(gain) * WITHIN)
    heard = away if tone.voiced else away[2:]
    return float(np.exp(-0.5 * np.sum(heard**2)))


def _gain(sure: float) -> NDArray[np.float64]:
    gain: NDArray[np.float64] = WITHIN**2 / (WITHIN**2 + (1 - sure) * BETWEEN**2)
    return gain


def _values(tone: Tone) -> NDArray[np.float64]:
    return np.array(astuple(tone)[:5], dtype=np.float64)


def _tone(values: NDArray[np.float64], voiced: bool, sure: float) -> Tone:
    pitch, spread, level, rate, pause = (round(float(value), 3) for value in values)
    if not voiced:
        pitch = spread = 0.0
    return Tone(pitch, spread, level, rate, pause, voiced, round(sure, 2))
