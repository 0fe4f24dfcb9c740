"""What routes do with calls: hand over, answer, conclude, correct, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.errors import RequestError, VaultError
from persona_ray.inference.screening.policy import Action, Decision, Policy, Wishes, standing_of
from persona_ray.inference.screening.reasons import ReasonCode
from persona_ray.inference.screening.records import CallEvent, NotListed, Standing, Verdict
from persona_ray.inference.screening.session import Session, end_so_far
from persona_ray.inference.screening.steps import (
    BrokenOff,
    Choice,
    Command,
    Conclude,
    SourceFound,
)
from persona_ray.serving.screening.consequences import CorrectedTo
from persona_ray.serving.screening.recordings import mix_down
from persona_ray.serving.screening.schemas import (
    event_of,
    notice_body,
    read_source,
    source_body,
    verdict_body,
)
from persona_ray.serving.screening.telling import kept_events
from persona_ray.store.screening.call_records import (
    CallEndedError,
    CallExistsError,
    CallSupersededError,
    NewCall,
    StoredVerdict,
    UnknownCallError,
)
from persona_ray.store.screening.corrections import UnfinishedCallError
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.inference.screening.records import Known
    from persona_ray.serving.screening.services import ScreeningServices
    from persona_ray.store.screening.call_records import Deleted, ScreenedCall
    from persona_ray.store.screening.corrections import Correction
    from persona_ray.types import Samples

_NOTHING = np.zeros(0, dtype=np.float32)


class Desk:
    """Over the store and the parts of one web application."""

    def __init__(self, services: ScreeningServices) -> None:
        self._services = services
        self._config = services.config.screening
        self._calls = services.store.screened_calls
        self._corrections = services.store.screening_corrections

    async def wishes(self, user_id: str) -> Wishes:
        """What gets through to a user."""
        chosen = await asyncio.to_thread(self._corrections.wanted, user_id)
        default = Wishes.default(self._config.policy)
        return default if chosen is None else Wishes(frozenset(chosen), default.on_wanted)

    async def hand_over(self, event: CallEvent) -> tuple[ScreenedCall, Decision]:
        """Keep a call that comes in; what its number means. Final decisions are its verdict.

        Raises RequestError where the id is another call's.
        """
        source = await self._source(event)
        wishes = await self.wishes(event.user_id)
        decision = Policy(self._config.policy, wishes).by_source(source)
        call, fresh = await self._keep(event, source, decision)
        if not fresh:
            # The first answer stands, whatever the sets say by now.
            source = read_source(call.source)
            decision = Policy(self._config.policy, wishes).by_source(source)
        if decision.action in (Action.PASS, Action.REJECT) and not call.ended:
            await self._conclude(call, self._without_line(call, source, wishes, None))
        return call, decision

    async def answer(self, user_id: str, call_id: str, choice: Choice) -> ScreenedCall:
        """The user's word on a call that goes on. Raises RequestError."""
        try:
            call = await asyncio.to_thread(self._calls.answer, user_id, call_id, choice.value)
        except UnknownCallError:
            raise unknown_call() from None
        except CallEndedError:
            raise RequestError(
                "screening.ended",
                "the call has ended",
                status=409,
                field="call_id",
                fix="correct its category, or leave it",
            ) from None
        final = Choice(call.answer) in (Choice.PASS, Choice.REJECT)
        if call.generation == 0 and final:
            # No line will come: whoever asked knows what to do.
            wishes = await self.wishes(user_id)
            source = read_source(call.source)
            commands = self._without_line(call, source, wishes, Choice(call.answer))
            await self._conclude(call, commands)
        return call

    async def conclude(
        self,
        call: ScreenedCall,
        verdict: Verdict,
        events: Sequence[str] = (),
        speech: Samples = _NOTHING,
        rate_hz: int = 8000,
    ) -> None:
        """The call's one verdict, with all that follows from it. `speech` (n,): what the caller
        said. Raises CallSupersededError, StoreError."""
        stored = StoredVerdict(
            outcome=verdict.outcome.value,
            standing="" if verdict.standing is None else verdict.standing.value,
            category=verdict.category,
            body=verdict_body(verdict),
            notice=notice_body(verdict),
            webhooks=self._config.webhooks,
        )
        number = await asyncio.to_thread(self._calls.conclude, call, stored, events)
        if number is None:
            return
        self._services.woken.set()
        self._services.metrics.screened(verdict.outcome.value, verdict.decided_s)
        log_event(
            "screened call",
            state=verdict.outcome.value,
            seconds=round(verdict.duration_s, 3),
            sentences=len(verdict.turns),
        )
        try:
            await self._services.consequences.of_verdict(verdict, speech, rate_hz)
        except Exception as error:
            # The verdict stands, whatever became of them.
            log_exception("consequences of a verdict failed", error)

    async def correct(
        self, user_id: str, call_id: str, category: str, standing: Standing | None, by: str
    ) -> Correction:
        """Raises RequestError."""
        chosen = standing or self._standing(category)
        correct = self._corrections.correct
        try:
            made, _ = await asyncio.to_thread(correct, user_id, call_id, category, chosen.value, by)
            call = await asyncio.to_thread(self._calls.get, user_id, call_id)
        except UnknownCallError:
            raise unknown_call() from None
        except UnfinishedCallError:
            raise RequestError(
                "screening.unfinished",
                "the call goes on: it has no category that could be corrected",
                status=409,
                field="call_id",
                fix="answer it, or wait for its verdict",
            ) from None
        self._services.woken.set()
        made_of = CorrectedTo(event_of(call), category, chosen, by)
        await self._services.consequences.of_correction(made_of)
        return made

    async def want(self, user_id: str, categories: Sequence[str] | None) -> None:
        """Raises RequestError for a category that the policy does not know, or that is illegal."""
        for category in categories or ():
            if self._standing(category, "wanted") is Standing.ILLEGAL:
                raise RequestError(
                    "screening.category",
                    f"'{category}' is illegal: it never gets through",
                    field="wanted",
                    fix="leave it out",
                )
        chosen = None if categories is None else sorted(set(categories))
        await asyncio.to_thread(self._corrections.want, user_id, chosen)

    async def delete(self, deleted: Deleted) -> None:
        """What calls left elsewhere goes with them."""
        await self._services.consequences.of_deletion(deleted.names)
        await self._delete_recordings(deleted)

    async def _delete_recordings(self, deleted: Deleted) -> None:
        delete = self._services.recordings.delete
        await asyncio.to_thread(delete, deleted.recordings)

    async def end_abandoned(self) -> int:
        """End calls that nobody holds any more, with the verdict so far; how many."""
        now = await asyncio.to_thread(self._services.store.now)
        before = now - timedelta(seconds=self._config.gone_s)
        ended = 0
        for found in await asyncio.to_thread(self._calls.abandoned, before):
            if self._is_asked(found, now):
                continue
            try:
                call = await asyncio.to_thread(self._calls.claim_abandoned, found)
                if call.recording:
                    # Before the verdict: whoever reads of it finds the recording.
                    await asyncio.to_thread(self._mix_down, call.recording)
                await self._conclude(call, await self._so_far(call))
                ended += 1
            except CallSupersededError:
                continue
        return ended

    async def expire(self) -> int:
        """Delete what has been kept for its time; how many calls."""
        before = datetime.now(UTC) - timedelta(days=self._config.records.keep_days)
        deleted = await asyncio.to_thread(self._calls.expire, before)
        # Voices have a time of their own.
        await self._delete_recordings(deleted)
        return deleted.calls

    def _mix_down(self, place: str) -> None:
        services = self._services
        folder, rate_hz = services.recordings.folder(place), services.config.audio.sample_rate_hz
        try:
            mix_down(folder, rate_hz, services.vault)
        except VaultError as error:
            # Its tracks stay, in case the key is found; the user has waited long enough.
            log_exception("recording does not open", error)

    def _is_asked(self, call: ScreenedCall, now: datetime) -> bool:
        """The phone itself asks its user, who has some time to answer."""
        if call.generation > 0 or call.decision != Action.ASK:
            return False
        patience_s = self._config.policy.ask_s + self._config.gone_s
        return now - call.alive_at < timedelta(seconds=patience_s)

    async def _source(self, event: CallEvent) -> Known | NotListed:
        try:
            async with asyncio.timeout(self._config.dialogue.part_s):
                return await self._services.parts.sources.look_up(event)
        except Exception as error:
            # Whatever it is, a call is not kept waiting: it is screened as an unknown one.
            log_exception("look-up of a number failed", error)
            return NotListed()

    async def _keep(
        self, event: CallEvent, source: Known | NotListed, decision: Decision
    ) -> tuple[ScreenedCall, bool]:
        new = NewCall(
            user_id=event.user_id,
            call_id=event.call_id,
            number=event.number,
            channel=event.channel.value,
            at=event.at,
            decision=decision.action.value,
            source=source_body(source),
        )
        try:
            return await asyncio.to_thread(self._calls.hand_over, new)
        except CallExistsError:
            raise RequestError(
                "screening.exists",
                "another call was handed over under this call_id",
                status=409,
                field="call_id",
                fix="choose another call_id",
            ) from None

    async def _conclude(self, call: ScreenedCall, commands: Sequence[Command]) -> None:
        """A line that comes later is told what it would have been told."""
        verdict = next(one.verdict for one in commands if isinstance(one, Conclude))
        events = kept_events(commands, len(call.events))
        await self.conclude(call, verdict, [event.model_dump_json() for event in events])

    async def _so_far(self, call: ScreenedCall) -> Sequence[Command]:
        """Of a call that nobody holds."""
        wishes = await self.wishes(call.user_id)
        kept = call.checkpoint.get("session")
        if kept:
            # What another release left is as good as nothing.
            with suppress(RequestError):
                return end_so_far(kept, self._config, ReasonCode.LINE_LOST, wishes)
        return self._without_line(call, read_source(call.source), wishes, None)

    def _without_line(
        self,
        call: ScreenedCall,
        source: Known | NotListed,
        wishes: Wishes,
        choice: Choice | None,
    ) -> Sequence[Command]:
        """What the session makes of a call that no sound came of."""
        session, commands = Session.begin(event_of(call), self._config, wishes)
        found = [*commands, *session.feed(SourceFound(0.0, source, choice))]
        if not session.ended:
            found += session.feed(BrokenOff(0.0, ReasonCode.NO_SOUND))
        return found

    def _standing(self, category: str, field: str = "category") -> Standing:
        found = standing_of(category, self._config.policy)
        if found is None:
            known = ", ".join(sorted(self._config.policy.categories))
            raise RequestError(
                "screening.category",
                f"'{category}' is no category of the policy",
                field=field,
                fix=f"choose from {known}",
            )
        return found


def unknown_call() -> RequestError:
    """A call of another user's is not there either."""
    return RequestError(
        "screening.unknown",
        "there is no such call, or it was too long ago",
        status=404,
        field="call_id",
        fix="list the inbox: GET /v1/screening/calls",
    )
