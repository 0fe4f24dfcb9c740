"""Reports and appeals over REST."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query

from persona_ray.inference.screening.reporting import ReportDesk
from persona_ray.serving.documents import CONFLICT, ERRORS, UNKNOWN
from persona_ray.serving.gate import Caller, operator_of
from persona_ray.serving.screening.fields import ForUser
from persona_ray.serving.screening.services import user_of
from persona_ray.serving.screening.set_schemas import (
    AppealAnswer,
    AppealDecision,
    AppealRequest,
    AppealsAnswer,
    ReportAnswer,
    ReportRequest,
    ReportsAnswer,
    appeal_answer,
    report_answer,
)

if TYPE_CHECKING:
    from persona_ray.serving.application import Common

_Id = Annotated[str, Path(max_length=64)]


def screening_reports(services: Common) -> APIRouter:
    """/v1/screening/reports and /v1/screening/appeals."""
    store = services.store
    desk = ReportDesk(store, services.config.screening)
    owns = Depends(services.gate.requires("screening"))
    operates = Depends(services.gate.requires("operator"))

    router = APIRouter(prefix="/v1/screening", tags=["screening"], responses=ERRORS)

    @router.post("/reports", summary="Report a number or voice", status_code=201)
    async def report(
        asked: ReportRequest, user_id: ForUser = "", caller: Caller = owns
    ) -> ReportAnswer:
        """One report of a person counts for each key: a further one replaces it. What comes of it
        for the shared sets is not told: who attacks them shall not see how far he is."""
        person = user_of(caller, user_id)
        made = await asyncio.to_thread(
            desk.report,
            asked.kind,
            asked.key,
            person,
            asked.category,
            asked.device or _device(caller),
            asked.call_id,
        )
        return report_answer(made.report)

    @router.get("/reports", summary="One's own reports")
    async def reports(
        user_id: ForUser = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        caller: Caller = owns,
    ) -> ReportsAnswer:
        """The latest first."""
        person = user_of(caller, user_id)
        found = await asyncio.to_thread(store.reports.of_reporter, person, limit)
        return ReportsAnswer(reports=[report_answer(one) for one in found])

    @router.delete(
        "/reports/{report_id}", summary="Take a report back", status_code=204, responses=UNKNOWN
    )
    async def retract(report_id: _Id, user_id: ForUser = "", caller: Caller = owns) -> None:
        """The shared sets are as if it had not been made."""
        await asyncio.to_thread(desk.retract, report_id, user_of(caller, user_id))

    @router.post(
        "/appeals", summary="Say that a shared entry is wrong", status_code=201, responses=UNKNOWN
    )
    async def appeal(
        asked: AppealRequest, user_id: ForUser = "", caller: Caller = owns
    ) -> AppealAnswer:
        """An operator decides. One who has appealed already gets his open appeal."""
        person = user_of(caller, user_id)
        made = await asyncio.to_thread(desk.appeal, asked.kind, asked.key, person, asked.text)
        return appeal_answer(made)

    @router.get("/appeals", summary="Appeals that nobody has decided", dependencies=[operates])
    async def appeals(limit: Annotated[int, Query(ge=1, le=500)] = 100) -> AppealsAnswer:
        """The oldest first."""
        found = await asyncio.to_thread(store.appeals.open, limit)
        return AppealsAnswer(appeals=[appeal_answer(one) for one in found])

    @router.get("/appeals/own", summary="One's own appeals, and what became of them")
    async def own_appeals(
        user_id: ForUser = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        caller: Caller = owns,
    ) -> AppealsAnswer:
        """The latest first."""
        person = user_of(caller, user_id)
        found = await asyncio.to_thread(store.appeals.of_appellant, person, limit)
        return AppealsAnswer(appeals=[appeal_answer(one) for one in found])

    @router.post(
        "/appeals/{appeal_id}/decision",
        summary="Grant or refuse an appeal",
        responses={**UNKNOWN, **CONFLICT},
    )
    async def decide(
        appeal_id: _Id, asked: AppealDecision, caller: Caller = operates
    ) -> AppealAnswer:
        """Granted, the entry goes, and those who reported it count for less."""
        actor = operator_of(caller)
        decided = await asyncio.to_thread(
            desk.decide, appeal_id, asked.granted, actor, asked.reason
        )
        return appeal_answer(decided)

    return router


def _device(caller: Caller) -> str:
    """A key is a device's, but not one that speaks for many."""
    return "" if caller.allows("operator") else caller.key_id
