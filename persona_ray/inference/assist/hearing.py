"""What the ears of an assisted call give back: words, and how they sound, not yet beside anybody's
baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.audio.prosody import Prosody
    from persona_ray.types import Word


@dataclass(frozen=True, slots=True)
class Heard:
    """Of one stretch between two pauses; times in seconds from its start. `sounds`: of each word,
    as many as words; `sound`: of the whole."""

    words: tuple[Word, ...]
    sounds: tuple[Prosody, ...]
    sound: Prosody

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words).strip()
