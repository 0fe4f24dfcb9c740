"""The caller's speech so far, and when it is worth asking whose voice it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from persona_ray.types import Samples

# More speech than this tells nothing more about a voice.
_MOST_S = 20.0
# While the caller talks, a voice that was unknown is asked for again after so many times as much.
_GROWTH = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class CallerSound:
    """What the caller said: mono samples (n,) in [-1, 1], with `speech_s` of speech in them;
    `start_s` and `end_s` of the speech, in seconds from the start of the call."""

    samples: Samples
    rate_hz: int
    start_s: float
    end_s: float
    speech_s: float


class VoiceSoFar:
    """Of one call."""

    def __init__(self, needed_s: float) -> None:
        self._needed_s = needed_s
        self._settled: deque[CallerSound] = deque()
        self._speech_s = 0.0
        self._asked_s = 0.0
        self._asking = False
        self._known = False

    def utterance(self, sound: CallerSound) -> Samples | None:
        """Another one has ended: samples (n,) to ask with, None where there is no use in it."""
        self._settled.append(sound)
        self._speech_s += sound.speech_s
        while self._speech_s - self._settled[0].speech_s >= _MOST_S:
            self._speech_s -= self._settled.popleft().speech_s
        return self._take(None) if sound.speech_s > 0 else None

    def so_far(self, sound: CallerSound) -> Samples | None:
        """Of the utterance that goes on, all of it up to now."""
        total_s = self._speech_s + sound.speech_s
        if total_s < self._needed_s or total_s < _GROWTH * self._asked_s:
            return None
        return self._take(sound)

    def answered(self, known: bool) -> Samples | None:
        """An answer has come; `known`: it is a match. Samples to ask with again where an
        utterance has ended meanwhile."""
        self._asking = False
        self._known = self._known or known
        return self._take(None) if self._speech_s > self._asked_s else None

    def _take(self, last: CallerSound | None) -> Samples | None:
        if self._asking or self._known:
            return None
        sounds = [*self._settled, *([] if last is None else [last])]
        self._asking = True
        self._asked_s = sum(sound.speech_s for sound in sounds)
        return np.concatenate([sound.samples for sound in sounds])
