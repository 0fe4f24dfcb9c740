"""How moods sound beside the speaker's own baseline, and how far sentences scatter around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple

import numpy as np

from persona_ray.conversation import Emotion, Tone

# pitch_st, range_st, level_db, rate, pause: the units of `conversation.Tone`.
_PLAIN = (0.0, 0.0, 0.0, 0.0, 0.0)
SOUNDS: Mapping[Emotion, tuple[float, ...]] = {
    Emotion.NEUTRAL: _PLAIN,
    Emotion.PLEASED: (2.2, 3.0, 1.5, 0.05, -0.02),
    Emotion.INTERESTED: (1.5, 1.5, 0.5, 0.25, -0.04),
    Emotion.SURPRISED: (4.5, 4.0, 2.5, -0.05, 0.02),
    Emotion.DOUBTFUL: (0.8, 1.0, -1.0, -0.30, 0.12),
    Emotion.WORRIED: (2.5, -1.5, -2.5, 0.10, 0.09),
    Emotion.DISAPPOINTED: (-2.5, -2.0, -3.0, -0.25, 0.06),
    Emotion.ANNOYED: (0.8, 0.5, 4.0, 0.35, -0.05),
    Emotion.ANGRY: (3.5, 3.0, 7.0, 0.25, -0.06),
}
SCATTER = (0.9, 1.1, 1.4, 0.12, 0.045)
_KEYWORD_SCATTER = (1.1, 1.2, 1.8, 0.2, 0.03)
_UNVOICED = 0.03
_UNSURE = 0.5  # wider where nothing of the speaker was heard before


def draw(rng: np.random.Generator, sounds: Emotion, sure: float) -> Tone:
    """A sentence's, where the mood `sounds` is heard."""
    wide = 1 + _UNSURE * (1 - sure)
    values = np.array(SOUNDS[sounds]) + wide * np.array(SCATTER) * rng.standard_normal(5)
    return _tone(values, rng.random() >= _UNVOICED, sure)


def of_keyword(rng: np.random.Generator, sentence: Tone, sounds: Emotion) -> Tone:
    """Of a word that carries the mood: it shows a little more of it than its sentence does."""
    own = np.array(astuple(sentence)[:5]) + 0.3 * np.array(SOUNDS[sounds])
    values = own + np.array(_KEYWORD_SCATTER) * rng.standard_normal(5)
    values[4] = 0.0  # a word has no pauses
    return _tone(values, sentence.voiced, sentence.sure)


def likelihood(tone: Tone, sounds: Emotion) -> float:
    """Density of `draw`: what an ideal reader knows."""
    wide = 1 + _UNSURE * (1 - tone.sure)
    away = (np.array(astuple(tone)[:5]) - np.array(SOUNDS[sounds])) / (wide * np.array(SCATTER))
    heard = away if tone.voiced else away[2:]
    return float(np.exp(-0.5 * np.sum(heard**2)))


def _tone(values: np.ndarray[tuple[int], np.dtype[np.float64]], voiced: bool, sure: float) -> Tone:
    pitch, spread, level, rate, pause = (round(float(value), 3) for value in values)
    if not voiced:
        pitch = spread = 0.0
    return Tone(pitch, spread, level, rate, pause, voiced, round(sure, 2))
