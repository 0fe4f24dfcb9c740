"""The seams of screening: what a session asks, whoever answers. Tests put fakes in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from persona_ray.inference.screening.records import (
        CallEvent,
        CategoryJudgement,
        Channel,
        Known,
        LineKind,
        NotListed,
        Turn,
        VoiceVerdict,
    )
    from persona_ray.types import Samples


class Sources(Protocol):
    """The sets of numbers."""

    async def look_up(self, call: CallEvent) -> Known | NotListed:
        """The user's own entry before the shared one; expired entries are not there."""
        ...


class Voices(Protocol):
    """The voice libraries."""

    async def whose(self, samples: Samples, rate_hz: int, channel: Channel) -> VoiceVerdict:
        """Whose voice speaks in samples (n,) of one caller; silence in them does not count."""
        ...


class Ears(Protocol):
    """Speech recognition."""

    async def text(self, samples: Samples, rate_hz: int) -> str:
        """What is said in samples (n,), empty where nothing is."""
        ...


class Categories(Protocol):
    """The category model."""

    async def judge(self, turns: Sequence[Turn]) -> CategoryJudgement:
        """What the call is about so far; at least one turn of the caller."""
        ...


class Robot(Protocol):
    """The dialogue set."""

    async def answer(self, turns: Sequence[Turn], judgement: CategoryJudgement | None) -> str:
        """What to say after these turns, the caller's last; never empty."""
        ...


class Lines(Protocol):
    """What the robot says without having understood anything; the dialogue set holds it, too."""

    def line(self, kind: LineKind, turns: Sequence[Turn]) -> str:
        """One of `kind`, not the last one said; never empty. `turns` may be empty."""
        ...


class Mouth(Protocol):
    """Speech synthesis."""

    async def speak(self, text: str) -> tuple[Samples, int]:
        """`text` as mono samples (n,) in [-1, 1], and their rate in Hz."""
        ...


class Parts(Protocol):
    """Whoever answers at the seams."""

    @property
    def sources(self) -> Sources: ...
    @property
    def voices(self) -> Voices: ...
    @property
    def ears(self) -> Ears: ...
    @property
    def categories(self) -> Categories: ...
    @property
    def robot(self) -> Robot: ...
    @property
    def lines(self) -> Lines: ...
    @property
    def mouth(self) -> Mouth: ...
