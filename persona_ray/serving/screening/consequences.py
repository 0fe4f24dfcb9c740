"""What a verdict or a correction changes beside the call: sets of numbers, voice libraries.

The application says who does it (`apps.screening_consequences`); a call ends all the same where
it fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from persona_ray.inference.screening.records import CallEvent, Standing, Verdict
    from persona_ray.types import Samples


# Whom a call was for, and its id.
CallName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CorrectedTo:
    """A user says that `call` was of `category`; its caller's number is `standing` for him."""

    call: CallEvent
    category: str
    standing: Standing
    by: str


class Consequences(Protocol):
    """Each may be asked twice of the same call, and changes nothing more then."""

    async def of_verdict(self, verdict: Verdict, speech: Samples, rate_hz: int) -> None:
        """A call has ended. `speech` (n,): what the caller said, empty where nothing was heard."""
        ...

    async def of_correction(self, made: CorrectedTo) -> None:
        """A user has said what a call was."""
        ...

    async def of_deletion(self, calls: Iterable[CallName]) -> None:
        """Somebody wants these calls forgotten: so is what they left elsewhere."""
        ...


class NoConsequences:
    """Of a service that only tells."""

    async def of_verdict(self, verdict: Verdict, speech: Samples, rate_hz: int) -> None:
        del verdict, speech, rate_hz

    async def of_correction(self, made: CorrectedTo) -> None:
        del made

    async def of_deletion(self, calls: Iterable[CallName]) -> None:
        del calls
