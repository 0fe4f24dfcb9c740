"""The seam of speech synthesis: a voice, and whatever can speak with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from persona_ray.types import Samples

# Weights of base voices by name, summing to 1. A tuple, so that voices hash and compare.
Blend = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks. `timbre` and `prosody` blend base voices; engines without any use the rest.

    `pitch` is a ratio to the blended voice's own pitch. `sex` is `female` or `male`.
    """

    name: str
    sex: str
    timbre: Blend = ()
    prosody: Blend = ()
    pitch: float = 1.0


class Synthesizer(Protocol):
    """Speaks Mandarin. Engines name themselves and their version, for caches."""

    @property
    def name(self) -> str:
        """Engine and version."""
        ...

    def synthesize(self, text: str, voice: Voice, speed: float) -> tuple[Samples, int]:
        """`text` as mono samples (samples,) in [-1, 1] and their rate in Hz.

        `speed` is a ratio: 2.0 speaks twice as fast. Raises `SynthesisError`.
        """
        ...
