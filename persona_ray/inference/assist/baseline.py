"""How a speaker usually sounds, by what was heard so far of this call, and how a stretch sounds
beside that.

Nobody is known at the beginning, and who begins angry must not be taken for calm. So the baseline
of each feature starts from that of people at large, and moves towards the median of what the
speaker said (`own` of it) the more was said, but never wholly. And a difference counts the less
(`gain`) the less was heard of a feature in which speakers differ from each other:

    own      = sure * between^2 / (between^2 + call^2)
    baseline = usual + own * (median of the speaker - usual)
    gain     = within^2 / (within^2 + (1 - sure) * between^2)

`between`: how much speakers differ from each other; `within`: sentences of one speaker; `call`:
one speaker from one call to the next, in mood or on another line. This is the shrinkage of a random
effect (Robinson 1991, "That BLUP is a good thing"). Voices differ more in pitch than sentences of
one voice do, so a first sentence says next to nothing about pitch; people speak about alike fast,
so it says most of what can be said about its rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.conversation import Tone

if TYPE_CHECKING:
    from persona_ray.audio.prosody import Prosody


@dataclass(frozen=True, slots=True)
class _People:
    """Of one feature, in its unit: see above."""

    usual: float
    between: float
    within: float
    call: float


# Pitch in semitones above 100 Hz, men and women together; range in semitones; level in dB of full
# scale, as telephone lines are set up (ITU-T P.56 speech level, -26); rate in log2 of syllables a
# second: 5.2 of read Mandarin in Pellegrino, Coupe & Marsico (2011), 4.4 in the sentences below;
# pause as a share. `between` is what 20 people's sentences give (`benchmarks/assist_hearing.py`),
# of pitch more, since most of them are women; `within` and `call` are assumed.
_PEOPLE = {
    "pitch": _People(9.0, 5.0, 2.0, 1.0),
    "range": _People(6.0, 1.5, 2.0, 0.8),
    "level": _People(-26.0, 5.0, 3.0, 2.0),
    "rate": _People(math.log2(5.0), 0.2, 0.25, 0.12),
    "pause": _People(0.06, 0.05, 0.1, 0.05),
}
# So much is remembered, in sentences: half an hour of talk.
_MOST = 400
_REFERENCE_HZ = 100.0


@dataclass(frozen=True, slots=True)
class _Said:
    """One stretch: its seconds of speech, and its features (None: unknown)."""

    speech_s: float
    features: Mapping[str, float | None]


class Baseline:
    """Of one speaker. `baseline_s`: seconds of speech on which it rests fully."""

    def __init__(self, baseline_s: float) -> None:
        self._baseline_s = baseline_s
        self._said: list[_Said] = []

    @property
    def sure(self) -> float:
        """0 to 1: how much of `baseline_s` was heard."""
        return min(sum(one.speech_s for one in self._said) / self._baseline_s, 1.0)

    def add(self, sound: Prosody) -> None:
        """From now on it counts. What holds no speech changes nothing."""
        if sound.speech_s > 0:
            self._said.append(_Said(sound.speech_s, _features(sound)))
            del self._said[:-_MOST]

    def tones(self, sound: Prosody, words: Sequence[Prosody]) -> tuple[Tone, tuple[Tone, ...]]:
        """A sentence and each of its words beside what was added so far."""
        usual = {name: self._usual(name) for name in _PEOPLE}
        whole, *each = (_beside(one, usual, self.sure) for one in (sound, *words))
        return whole, tuple(each)

    def _usual(self, name: str) -> tuple[float, float]:
        """(baseline, gain) of a feature."""
        people = _PEOPLE[name]
        between, within, call = people.between**2, people.within**2, people.call**2
        said = [
            (value, one.speech_s) for one in self._said if (value := one.features[name]) is not None
        ]
        if not said:
            return people.usual, within / (within + between)
        sure = self.sure
        own = sure * between / (between + call)
        baseline = people.usual + own * (_weighted_median(said) - people.usual)
        return baseline, within / (within + (1 - sure) * between)

    def dump(self) -> list[list[float | None]]:
        """For `read`, as JSON has it."""
        return [
            [round(one.speech_s, 3), *(_rounded(one.features[name]) for name in _PEOPLE)]
            for one in self._said
        ]

    @classmethod
    def read(cls, baseline_s: float, kept: Sequence[Sequence[Any]]) -> Baseline:
        """The baseline that `dump` gave. ValueError for anything else."""
        found = cls(baseline_s)
        for speech_s, *features in kept:
            numbers = (None if one is None else float(one) for one in features)
            named = dict(zip(_PEOPLE, numbers, strict=True))
            found._said.append(_Said(float(speech_s), named))
        return found


def _features(sound: Prosody) -> dict[str, float | None]:
    heard = sound.speech_s > 0
    pitch = 12 * math.log2(sound.pitch_hz / _REFERENCE_HZ) if sound.voiced else None
    return {
        "pitch": pitch,
        "range": sound.range_st if sound.voiced else None,
        "level": sound.level_db if heard else None,
        "rate": math.log2(sound.rate) if sound.rate > 0 else None,
        "pause": sound.pause if heard else None,
    }


def _beside(sound: Prosody, usual: Mapping[str, tuple[float, float]], sure: float) -> Tone:
    beside = dict.fromkeys(usual, 0.0)
    for name, value in _features(sound).items():
        if value is not None:
            baseline, gain = usual[name]
            beside[name] = gain * (value - baseline)
    return Tone(
        pitch_st=beside["pitch"],
        range_st=beside["range"],
        level_db=beside["level"],
        rate=beside["rate"],
        pause=beside["pause"],
        voiced=sound.voiced,
        sure=sure,
    )


def _weighted_median(said: Sequence[tuple[float, float]]) -> float:
    """Of (value, weight), at least one."""
    values, weights = np.array(sorted(said)).T
    reached = np.cumsum(weights)
    return float(values[int(np.searchsorted(reached, reached[-1] / 2))])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
