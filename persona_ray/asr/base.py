"""What every speech recogniser does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.types import Samples, Transcript


class Recognizer(Protocol):
    """Turns one channel of a call into words with times. `name` says which model did it."""

    @property
    def name(self) -> str: ...

    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        """Words of samples (n,) at any rate, in order of time, within the spans of `speech`.

        The same input gives the same words. Raises RecognitionError where the engine fails.
        """
        ...
