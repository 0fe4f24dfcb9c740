"""What verdicts and corrections change beside the call: the sets of numbers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from persona_ray.inference.screening.records import Outcome, Standing
from persona_ray.inference.screening.reporting import ReportDesk
from persona_ray.inference.screening.sources import StoredSources

if TYPE_CHECKING:
    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.inference.screening.records import Verdict
    from persona_ray.serving.screening.consequences import CorrectedTo
    from persona_ray.store import Store
    from persona_ray.types import Samples


class StoredConsequences:
    """Implements Consequences by the store. Where the caller's number is withheld there is no
    number to do anything with."""

    def __init__(self, store: Store, config: ScreeningConfig) -> None:
        self._config = config
        self._sources = StoredSources(store, config)
        self._reports = ReportDesk(store, config)

    async def of_verdict(self, verdict: Verdict, speech: Samples, rate_hz: int) -> None:
        """An illegal caller's number is marked for the user who was called."""
        del speech, rate_hz
        call = verdict.call
        if verdict.outcome is Outcome.HUNG_UP and call.number:
            mark = self._sources.mark
            await asyncio.to_thread(
                mark, call.user_id, call.number, verdict.category, "a call was hung up on"
            )

    async def of_correction(self, made: CorrectedTo) -> None:
        """The user's own set says what he says; for the shared ones it is a report."""
        call = made.call
        if call.number:
            await asyncio.to_thread(self._correct, made)

    def _correct(self, made: CorrectedTo) -> None:
        call = made.call
        known = self._reports.correct(
            call.user_id, call.number, made.category, call_id=call.call_id
        )
        if known.standing is not made.standing:
            # He wants the number treated otherwise than its category is.
            self._sources.put(
                call.user_id,
                call.number,
                Standing(made.standing),
                category=made.category,
                reason="chosen with a correction",
            )
