"""What users want of the screening over REST, and what they corrected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from persona_ray.inference.screening.records import Standing
from persona_ray.serving.documents import ERRORS, errors
from persona_ray.serving.gate import Caller
from persona_ray.serving.routes.screening_files import PRIVATE
from persona_ray.serving.screening.desk import Desk
from persona_ray.serving.screening.fields import ForUser
from persona_ray.serving.screening.samples import sample_line
from persona_ray.serving.screening.schemas import SettingsAnswer, SettingsRequest
from persona_ray.serving.screening.services import user_of

if TYPE_CHECKING:
    from persona_ray.serving.screening.services import ScreeningServices


def screening_wishes(services: ScreeningServices) -> APIRouter:
    """/v1/screening/corrections and /v1/screening/settings."""
    desk, corrections = Desk(services), services.store.screening_corrections
    router = APIRouter(prefix="/v1/screening", tags=["screening"])
    reads = Depends(services.gate.requires("screening"))
    operates = Depends(services.gate.requires("operator"))

    @router.get(
        "/corrections",
        summary="Corrected calls, to learn from",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/x-ndjson": {}}}, **errors(401, 403, 429)},
        dependencies=[operates],
    )
    async def samples() -> StreamingResponse:
        """Dialogues in the format of training, one a line, with their lineage."""
        found = await asyncio.to_thread(lambda: list(corrections.samples()))
        lines = [line for line in map(sample_line, found) if line]
        return StreamingResponse(iter(lines), media_type="application/x-ndjson", headers=PRIVATE)

    @router.get("/settings", summary="What a user wants", responses=ERRORS)
    async def settings(user_id: ForUser = "", caller: Caller = reads) -> SettingsAnswer:
        return await _settings(user_of(caller, user_id))

    @router.put("/settings", summary="Choose what gets through", responses=ERRORS)
    async def choose(asked: SettingsRequest, caller: Caller = reads) -> SettingsAnswer:
        user = user_of(caller, asked.user_id)
        await desk.want(user, asked.wanted)
        return await _settings(user)

    async def _settings(user: str) -> SettingsAnswer:
        policy = services.config.screening.policy
        chosen = await asyncio.to_thread(corrections.wanted, user)
        return SettingsAnswer(
            wanted=sorted(policy.wanted if chosen is None else chosen),
            chosen=chosen is not None,
            categories={name: Standing(one) for name, one in policy.categories.items()},
        )

    return router
