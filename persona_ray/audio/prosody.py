"""How speech sounds: pitch, loudness, rate and pauses of stretches of it."""

from __future__ import annotations

from dataclasses import dataclass


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
