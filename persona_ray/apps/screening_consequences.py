"""What verdicts and corrections change beside the call: sets of numbers, voice libraries."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from persona_ray.inference.screening.records import Outcome, Standing
from persona_ray.inference.screening.reporting import ReportDesk
from persona_ray.inference.screening.sources import StoredSources
from persona_ray.serving.screening.models import VoiceSeen
from persona_ray.store.screening.voice_records import voice_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.inference.screening.records import Verdict
    from persona_ray.serving.screening.consequences import CallName, CorrectedTo
    from persona_ray.store import Store
    from persona_ray.types import Samples


class Learns(Protocol):
    """The voice libraries, as far as they are added to."""

    async def learn(self, samples: Samples, rate_hz: int, seen: VoiceSeen) -> bool: ...


class StoredConsequences:
    """Implements Consequences by the store and the voice libraries. A withheld number cannot be
    marked; its voice can."""

    def __init__(self, store: Store, config: ScreeningConfig, voices: Learns) -> None:
        self._store = store
        self._sure = config.policy.sure
        self._sources = StoredSources(store, config)
        self._reports = ReportDesk(store, config)
        self._voices = voices

    async def of_verdict(self, verdict: Verdict, speech: Samples, rate_hz: int) -> None:
        """An illegal caller's number is marked for the user who was called; the voice of an illegal
        or surely abnormal one goes into the libraries, for a while."""
        call = verdict.call
        if verdict.outcome is Outcome.HUNG_UP and call.number:
            mark = self._sources.mark
            await asyncio.to_thread(
                mark, call.user_id, call.number, verdict.category, "a call was hung up on"
            )
        if len(speech) and verdict.standing is not None and self._is_certain(verdict):
            key = voice_key(call.user_id, call.call_id)
            seen = VoiceSeen(key, call.channel, verdict.standing, verdict.category)
            await self._voices.learn(speech, rate_hz, seen)

    async def of_correction(self, made: CorrectedTo) -> None:
        """The user's own set says what he says; for the shared ones it is a report. Of a call that
        was harmless the voice is forgotten."""
        await asyncio.to_thread(self._correct, made)

    async def of_deletion(self, calls: Iterable[CallName]) -> None:
        """What calls added to the voice libraries goes with them."""
        await asyncio.to_thread(self._forget, list(calls))

    def _is_certain(self, verdict: Verdict) -> bool:
        """What was said makes it one for the libraries, not the number alone."""
        if verdict.outcome is Outcome.HUNG_UP:
            return True
        if verdict.standing is not Standing.ABNORMAL or verdict.judgement is None:
            return False
        return verdict.judgement.probabilities.get(verdict.category, 0.0) >= self._sure

    def _correct(self, made: CorrectedTo) -> None:
        call = made.call
        if made.standing is Standing.NORMAL:
            self._forget([(call.user_id, call.call_id)])
        if not call.number:
            return
        known = self._reports.correct(
            call.user_id, call.number, made.category, call_id=call.call_id
        )
        if known.standing is not made.standing:
            # He wants the number treated otherwise than its category is.
            self._sources.put(
                call.user_id,
                call.number,
                made.standing,
                category=made.category,
            )

    def _forget(self, calls: list[CallName]) -> None:
        now = datetime.now(UTC)
        for user_id, call_id in calls:
            key = voice_key(user_id, call_id)
            if self._store.voices.voices_of(key):
                self._store.forget_voice_call(key, now)
