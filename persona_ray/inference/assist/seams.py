"""The seams of assistance: what a call asks, whoever answers. Tests put fakes in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.hearing import Heard
    from persona_ray.inference.assist.records import (
        Mood,
        NoSuggestion,
        Sentence,
        SpeechInformation,
        Suggestion,
    )
    from persona_ray.types import Samples


class Ears(Protocol):
    """Speech recognition, and how speech sounds."""

    async def hear(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Heard:
        """Words and sound of samples (n,) of one channel, between two pauses; times are in seconds
        from their start. Raises RecognitionError."""
        ...


class Advisor(Protocol):
    """Emotion and choice: the emotion model and the ranker."""

    async def mood(self, sentence: Sentence) -> Mood:
        """Of one sentence of the customer."""
        ...

    async def advise(
        self,
        information: SpeechInformation,
        library: ScriptLibrary,
        shown: Mapping[str, int],
        draw: float,
    ) -> Suggestion | NoSuggestion:
        """What to put before the agent. `shown`: how often each script was shown in this call.
        `draw`, 0 to 1: decides what is drawn, the same for the same call and sentence."""
        ...


class Parts(Protocol):
    """Whoever answers at the seams."""

    @property
    def ears(self) -> Ears: ...
    @property
    def advisor(self) -> Advisor: ...
