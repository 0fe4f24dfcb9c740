"""How speech sounds: pitch, loudness, rate and pauses of stretches of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.tone import (
    BELOW_LOUDEST_DB,
    FLOOR_DB,
    FRAME_S,
    HOP_S,
    frames_of,
    levels_db,
    pitch_track,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.audio.vad import Span
    from persona_ray.types import Samples, Word

# A gap that is shorter belongs to the speech around it: the closure of a plosive is no pause.
_GAP_FRAMES = round(0.14 / HOP_S)
# The loudest frames without a click among them.
_LOUDEST = 0.95
# So little that is voiced has no pitch: of a sentence, and of a word.
_VOICED_FRAMES, _VOICED_FRAMES_OF_A_WORD = 5, 2
# Pitches that far from the median are taken for mistakes of an octave.
_OCTAVE_ST = 10.0
# One Chinese character is one syllable; of other words it is what stands around a vowel.
_SYLLABLE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[0-9]|[aeiouyAEIOUY]+")


@dataclass(frozen=True, slots=True)
class Prosody:
    """Of one stretch. `speech_s` seconds of it are speech; `level_db` is theirs, relative to full
    scale; `pitch_hz` is the median of voiced frames and `range_st` their 10 to 90 % in semitones,
    both 0 where `voiced` is false; `rate` syllables a second of speech, 0 where unknown; `pause`
    the share of the stretch that is no speech."""

    speech_s: float
    level_db: float
    pitch_hz: float
    range_st: float
    voiced: bool
    rate: float
    pause: float


NO_SOUND = Prosody(0.0, FLOOR_DB, 0.0, 0.0, False, 0.0, 0.0)


def prosody(
    samples: Samples, rate_hz: int, speech: Sequence[Span], words: Sequence[Word]
) -> tuple[Prosody, tuple[Prosody, ...]]:
    """How samples (n,) sound as a whole, and each of `words`; times in seconds from their start.

    Speech is what lies in `speech` and is at most 25 dB below its loudest; a word's stretch begins
    where the word before it ends, so that a pause before a word is that word's. Silence is
    `NO_SOUND`.
    """
    sound = _Sound.of(samples, rate_hz, speech)
    whole = sound.between(0.0, len(samples) / rate_hz, syllables_of(words))
    each = []
    before_s: float | None = None
    for word in words:
        pause_s = 0.0 if before_s is None else max(word.start_s - before_s, 0.0)
        each.append(sound.word(word, pause_s))
        before_s = word.end_s
    return whole, tuple(each)


def syllables_of(words: Sequence[Word]) -> int:
    """Chinese characters, digits, and groups of vowels in Latin words; other words count one.

    >>> from persona_ray.types import Word
    >>> syllables_of([Word("办", 0, 1), Word("卡，", 1, 2), Word(" VIP", 2, 3), Word("nth", 3, 4)])
    4
    """
    counts = ((len(_SYLLABLE.findall(word.text)), word.text) for word in words)
    return sum(count or any(letter.isalnum() for letter in text) for count, text in counts)


@dataclass(frozen=True, slots=True, eq=False)
class _Sound:
    """Of each frame (frames,): whether it is speech, its power, its pitch (0: none)."""

    active: NDArray[np.bool_]
    power: NDArray[np.float64]
    pitch_hz: NDArray[np.float64]

    @classmethod
    def of(cls, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> _Sound:
        # A constant offset is no loudness.
        centred = samples - np.float32(samples.mean()) if len(samples) else samples
        frames = frames_of(centred, rate_hz)
        levels = levels_db(frames)
        middles_s = np.arange(len(frames)) * HOP_S + FRAME_S / 2
        active = np.zeros(len(frames), dtype=bool)
        for span in speech:
            active |= (middles_s >= span.start_s) & (middles_s < span.end_s)
        active &= levels > FLOOR_DB + 1
        if active.any():
            active &= levels > np.quantile(levels[active], _LOUDEST) - BELOW_LOUDEST_DB
        pitch_hz = np.zeros(len(frames))
        pitch_hz[active] = pitch_track(frames[active], rate_hz)
        return cls(active, 10 ** (levels / 10), pitch_hz)

    def between(self, start_s: float, end_s: float, syllables: int) -> Prosody:
        """Of a stretch, from its first speech to its last."""
        found = np.flatnonzero(self.active[_frame(start_s) : _frame(end_s) + 1])
        if len(found) == 0:
            return NO_SOUND
        at = found + _frame(start_s)
        gaps = np.diff(at) - 1
        pause_s = float(gaps[gaps > _GAP_FRAMES].sum()) * HOP_S
        speech_s = float(at[-1] - at[0] + 1) * HOP_S - pause_s
        return self._prosody(at, _VOICED_FRAMES, speech_s, pause_s, syllables)

    def word(self, word: Word, pause_s: float) -> Prosody:
        """Of one word, by its own times; a recogniser's are of 20 ms."""
        last = max(_frame(word.end_s), _frame(word.start_s) + 1)
        at = np.flatnonzero(self.active[_frame(word.start_s) : last]) + _frame(word.start_s)
        if len(at) == 0:
            return NO_SOUND
        speech_s = max(word.end_s - word.start_s, HOP_S)
        syllables = syllables_of((word,))
        return self._prosody(at, _VOICED_FRAMES_OF_A_WORD, speech_s, pause_s, syllables)

    def _prosody(
        self,
        at: NDArray[np.int64],
        least_voiced: int,
        speech_s: float,
        pause_s: float,
        syllables: int,
    ) -> Prosody:
        level_db = float(10 * np.log10(self.power[at].mean()))
        pitches = self.pitch_hz[at]
        pitches = pitches[pitches > 0]
        median_hz = range_st = 0.0
        voiced = len(pitches) >= least_voiced
        if voiced:
            steps = 12 * np.log2(pitches / np.median(pitches))
            kept = steps[np.abs(steps) < _OCTAVE_ST]
            low, high = np.quantile(kept, (0.1, 0.9))
            median_hz, range_st = float(np.median(pitches)), float(high - low)
        return Prosody(
            speech_s=speech_s,
            level_db=level_db,
            pitch_hz=median_hz,
            range_st=range_st,
            voiced=voiced,
            rate=syllables / speech_s,
            pause=pause_s / (speech_s + pause_s),
        )


def _frame(at_s: float) -> int:
    """The frame whose middle is the first at or after `at_s`."""
    return max(round((at_s - FRAME_S / 2) / HOP_S), 0)
