"""Screened calls over REST: events, the inbox, answers, corrections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, FastAPI, Path, Query

from persona_ray.errors import RequestError
from persona_ray.inference.screening.numbers import caller_number, normalise
from persona_ray.inference.screening.records import CallEvent, Standing
from persona_ray.serving.audited import note_reading
from persona_ray.serving.documents import CONFLICT, ERRORS, UNKNOWN
from persona_ray.serving.gate import Caller
from persona_ray.serving.paging import Before, next_page, page_before
from persona_ray.serving.screening.desk import Desk, unknown_call
from persona_ray.serving.screening.fields import ForUser
from persona_ray.serving.screening.housekeeping import housekeeping
from persona_ray.serving.screening.schemas import (
    AnswerRequest,
    CallScreenedAnswer,
    CorrectionAnswer,
    CorrectionRequest,
    EventAnswer,
    EventRequest,
    ForgottenAnswer,
    InboxAnswer,
    call_answer,
    correction_answer,
    event_answer,
    inbox_item,
)
from persona_ray.serving.screening.services import user_of
from persona_ray.store.screening.call_records import UnknownCallError
from persona_ray.watch.trace_ids import current_trace_id

if TYPE_CHECKING:
    from persona_ray.serving.screening.services import ScreeningServices
    from persona_ray.store.screening.call_records import Deleted, ScreenedCall

_CallId = Annotated[str, Path(max_length=128, description="as the event named it")]


def screening_calls(services: ScreeningServices) -> APIRouter:
    """/v1/screening/events and /v1/screening/calls."""
    desk, gate = Desk(services), services.gate
    kept, corrections = services.store.screened_calls, services.store.screening_corrections

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with housekeeping(services, desk):
            yield

    router = APIRouter(prefix="/v1/screening", tags=["screening"], lifespan=lifespan)
    hands_over, reads = Depends(gate.requires("screen")), Depends(gate.requires("screening"))

    def recorded(call: ScreenedCall) -> bool:
        return services.recordings.file(call.recording) is not None

    async def get(user_id: str, call_id: str) -> ScreenedCall:
        try:
            return await asyncio.to_thread(kept.get, user_id, call_id)
        except UnknownCallError:
            raise unknown_call() from None

    @router.post(
        "/events", summary="Hand over a call that comes in", responses={**ERRORS, **CONFLICT}
    )
    async def hand_over(asked: EventRequest, caller: Caller = hands_over) -> EventAnswer:
        """What its number means. The same event may be sent again: its first answer stands."""
        event = CallEvent(
            call_id=asked.call_id,
            user_id=user_of(caller, asked.user_id),
            number=caller_number(asked.number, services.config.screening.region),
            at=asked.at or datetime.now(UTC),
            channel=asked.channel,
        )
        call, decision = await desk.hand_over(event)
        return event_answer(call.call_id, decision, current_trace_id())

    @router.get("/calls", summary="The inbox", responses=ERRORS)
    async def inbox(
        user_id: ForUser = "",
        before: Before = "",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        category: Annotated[str, Query(max_length=64)] = "",
        standing: Standing | None = None,
        caller: Caller = reads,
    ) -> InboxAnswer:
        """The latest calls first."""
        user = user_of(caller, user_id)
        found = await asyncio.to_thread(
            kept.inbox, user, limit + 1, page_before(before), category, standing or ""
        )
        page = found[:limit]
        await asyncio.to_thread(note_reading, services.store, caller, user, len(page))
        items = [inbox_item(call, services.links, recorded(call)) for call in page]
        following = next_page(page[-1].at, page[-1].call_id) if len(found) > limit else None
        return InboxAnswer(calls=items, next=following)

    @router.get("/calls/{call_id}", summary="One call", responses={**ERRORS, **UNKNOWN})
    async def one(
        call_id: _CallId, user_id: ForUser = "", caller: Caller = reads
    ) -> CallScreenedAnswer:
        """With its transcript and everything that the verdict rests on."""
        user = user_of(caller, user_id)
        call = await get(user, call_id)
        made = await asyncio.to_thread(corrections.of_call, user, call_id)
        await asyncio.to_thread(note_reading, services.store, caller, user, 1)
        return call_answer(call, services.links, recorded(call), made)

    @router.delete(
        "/calls/{call_id}",
        status_code=204,
        summary="Delete a call",
        responses={**ERRORS, **UNKNOWN},
    )
    async def delete(call_id: _CallId, user_id: ForUser = "", caller: Caller = reads) -> None:
        """With recording, transcript and corrections; one that goes on is broken off."""
        user = user_of(caller, user_id)
        try:
            deleted = await asyncio.to_thread(kept.delete, user, call_id)
        except UnknownCallError:
            raise unknown_call() from None
        await desk.delete(deleted)

    @router.delete("/calls", summary="Delete all calls of a person", responses=ERRORS)
    async def forget(
        user_id: ForUser = "",
        number: Annotated[
            str, Query(max_length=40, description="of a caller; with the scope operator")
        ] = "",
        caller: Caller = reads,
    ) -> ForgottenAnswer:
        """All of a user's, with the settings, or all that a number made, whomever they were for."""
        if number:
            _check_operator(caller)
            wanted = _shown(number, services.config.screening.region)
            deleted = await asyncio.to_thread(kept.delete_of_number, wanted)
        else:
            deleted = await asyncio.to_thread(kept.delete_of_user, user_of(caller, user_id))
        await desk.delete(deleted)
        return _forgotten(deleted)

    @router.post(
        "/calls/{call_id}/answer",
        status_code=202,
        summary="What the user wants with a call that goes on",
        responses={**ERRORS, **UNKNOWN, **CONFLICT},
    )
    async def answer(call_id: _CallId, asked: AnswerRequest, caller: Caller = reads) -> None:
        """The first answer counts; the line hears of it at once."""
        await desk.answer(user_of(caller, asked.user_id), call_id, asked.choice)

    @router.post(
        "/calls/{call_id}/correction",
        summary="What the call was",
        responses={**ERRORS, **UNKNOWN, **CONFLICT},
    )
    async def correct(
        call_id: _CallId, asked: CorrectionRequest, caller: Caller = reads
    ) -> CorrectionAnswer:
        """The user's own sets follow at once; the call becomes a sample to learn from."""
        user = user_of(caller, asked.user_id)
        made = await desk.correct(
            user, call_id, asked.category, asked.standing, caller.name or user
        )
        return correction_answer(made)

    return router


def _shown(number: str, region: str) -> str:
    """Raises RequestError for a hidden one: it is not one person's."""
    found = normalise(number, region)
    if not found:
        raise RequestError(
            "number.withheld",
            "a hidden number is many persons'",
            field="number",
            fix="name the number whose calls are to go, or delete calls one by one",
        )
    return found


def _check_operator(caller: Caller) -> None:
    if not caller.allows("operator"):
        raise RequestError(
            "key.scope",
            "calls by number are an operator's",
            status=403,
            field="number",
            fix="use a key with the scope 'operator'",
        )


def _forgotten(deleted: Deleted) -> ForgottenAnswer:
    return ForgottenAnswer(calls=deleted.calls, recordings=len(deleted.recordings))
