"""A user's own sets of numbers over REST, and what operators find of shared ones."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query

from persona_ray.inference.screening.records import Standing
from persona_ray.inference.screening.reporting import ReportDesk
from persona_ray.inference.screening.sources import StoredSources, known
from persona_ray.serving.documents import ERRORS
from persona_ray.serving.gate import Caller, operator_of
from persona_ray.serving.screening.fields import ForUser
from persona_ray.serving.screening.services import user_of
from persona_ray.serving.screening.set_schemas import (
    Confirmation,
    InspectionAnswer,
    KeyName,
    NumberAnswer,
    NumberName,
    NumbersAnswer,
    OwnNumber,
    ReportedAnswer,
    ReportedKey,
    Undoing,
    UndoneAnswer,
    history_answer,
    number_answer,
    tally_answer,
)
from persona_ray.serving.screening.statements import Kind

if TYPE_CHECKING:
    from persona_ray.serving.application import Common

_Limit = Annotated[int, Query(ge=1, le=500)]


def screening_numbers(services: Common) -> APIRouter:
    """/v1/screening/numbers: one's own; /v1/screening/shared: everybody's, for operators."""
    store, config = services.store, services.config.screening
    sources, desk = StoredSources(store, config), ReportDesk(store, config)
    owns = Depends(services.gate.requires("screening"))
    operates = Depends(services.gate.requires("operator"))
    router = APIRouter(prefix="/v1/screening", tags=["screening"], responses=ERRORS)

    @router.get("/numbers", summary="One's own sets of numbers")
    async def own(
        user_id: ForUser = "",
        after: Annotated[str, Query(max_length=40)] = "",
        limit: _Limit = 100,
        standing: Standing | None = None,
        caller: Caller = owns,
    ) -> NumbersAnswer:
        """In the order of numbers."""
        user, now = user_of(caller, user_id), datetime.now(UTC)
        page = store.numbers.page
        found = await asyncio.to_thread(page, user, now, after, limit + 1, standing or "")
        answers = [number_answer(known(entry)) for entry in found[:limit]]
        return NumbersAnswer(
            numbers=answers, next=answers[-1].number if len(found) > limit else None
        )

    @router.put("/numbers", summary="Put a number into one's own sets")
    async def put(asked: OwnNumber, user_id: ForUser = "", caller: Caller = owns) -> NumberAnswer:
        """Allow it (normal), be asked (abnormal) or reject it (illegal), whatever others say."""
        user = user_of(caller, user_id)
        found = await asyncio.to_thread(
            sources.put,
            user,
            asked.number,
            asked.standing,
            category=asked.category,
            name=asked.name,
            reason=asked.reason,
            expires_at=asked.expires_at,
        )
        return number_answer(found)

    @router.post("/numbers/remove", summary="Take a number out of one's own sets", status_code=204)
    async def remove(asked: NumberName, user_id: ForUser = "", caller: Caller = owns) -> None:
        """Also where it is not in them."""
        user = user_of(caller, user_id)
        await asyncio.to_thread(sources.remove, user, asked.number, asked.reason)

    @router.put("/shared", summary="Say what a number or voice is", status_code=204)
    async def confirm(asked: Confirmation, caller: Caller = operates) -> None:
        """Those who reported it rise or fall by it; a number's shared entry is the operator's."""
        await asyncio.to_thread(
            desk.confirm,
            asked.kind,
            asked.key,
            asked.standing,
            operator_of(caller),
            category=asked.category,
            name=asked.name,
            reason=asked.reason,
            expires_at=asked.expires_at,
        )

    @router.post(
        "/shared/inspect",
        summary="What is known of a number or voice",
        dependencies=[operates],
    )
    async def inspect(asked: KeyName) -> InspectionAnswer:
        """What its reports come to, and what was done to its shared entry. No reporters."""

        def look() -> InspectionAnswer:
            tally = desk.tally(asked.kind, asked.key)
            history = (
                store.numbers.history("", sources.number(asked.key))
                if asked.kind is Kind.NUMBERS
                else store.voices.history(asked.key)
            )
            items = [history_answer(item) for item in history]
            return InspectionAnswer(tally=tally_answer(tally), history=items)

        return await asyncio.to_thread(look)

    @router.get(
        "/shared/reported",
        summary="What most persons report and nobody has decided",
        dependencies=[operates],
    )
    async def reported(kind: Kind = Kind.NUMBERS, limit: _Limit = 50) -> ReportedAnswer:
        """For operators to look at first."""
        found = await asyncio.to_thread(store.reports.most_reported, kind, limit)
        return ReportedAnswer(keys=[ReportedKey(key=key, persons=count) for key, count in found])

    @router.post("/shared/undo", summary="Undo automatic entries since a time")
    async def undo(asked: Undoing, caller: Caller = operates) -> UndoneAnswer:
        """Shared numbers are again what they were, and the reports since are void."""
        actor = operator_of(caller)
        found = await asyncio.to_thread(desk.roll_back, asked.since, actor, asked.reason)
        return UndoneAnswer(numbers=len(found))

    return router
