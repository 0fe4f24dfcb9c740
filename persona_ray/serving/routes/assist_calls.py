"""Assisted calls over REST: the list, one with what was said in it, deletion."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, FastAPI, Path, Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from persona_ray.conversation import Outcome
from persona_ray.errors import RequestError
from persona_ray.serving.assist.abandoned import ending_abandoned
from persona_ray.serving.assist.scenes import step_named
from persona_ray.serving.assist.services import agent_of
from persona_ray.serving.documents import CONFLICT, ERRORS, UNKNOWN
from persona_ray.serving.gate import Caller
from persona_ray.serving.live.hub import unknown_call
from persona_ray.serving.live.protocol import Id
from persona_ray.serving.paging import Before, next_page, page_before
from persona_ray.store.live_calls import UnknownLiveCallError

if TYPE_CHECKING:
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.store.assist.records import AssistCall

_CallId = Annotated[str, Path(max_length=128, description="as `start` named it")]
_ForAgent = Annotated[str, Query(max_length=128, description="whose; with the scope operator")]


class AssistedCallAnswer(BaseModel):
    """A call; `ended_at` null: it goes on. `outcome` null: nobody has told it."""

    call_id: str
    agent_id: str
    customer_id: str
    scene: dict[str, str]
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None


class StepNamed(BaseModel):
    """One of `assist.steps`."""

    model_config = ConfigDict(extra="forbid")

    step: Id = Field(min_length=1)


class SceneAnswer(BaseModel):
    """Where the call is from its customer's next sentence on."""

    scene: dict[str, str]


class AssistedCallsAnswer(BaseModel):
    """A page of calls, the latest first; `next` null: there are no more."""

    calls: list[AssistedCallAnswer]
    next: str | None


class TranscriptAnswer(AssistedCallAnswer):
    """A call with all that its line was told, in order."""

    events: list[dict[str, JsonValue]] = Field(description="as the events of its line")


def assist_calls(services: AssistServices) -> APIRouter:
    """An agent's key is for his own calls; an operator's for any agent's."""
    kept = services.store.assist_calls
    admitted = Depends(services.gate.requires("assist"))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with ending_abandoned(services):
            yield

    router = APIRouter(prefix="/v1/assist", tags=["assist"], lifespan=lifespan)

    @router.get("/calls", summary="An agent's calls", responses=ERRORS)
    async def calls(
        agent_id: _ForAgent = "",
        before: Before = "",
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        caller: Caller = admitted,
    ) -> AssistedCallsAnswer:
        """The latest first."""
        agent = agent_of(caller, agent_id)
        found = await asyncio.to_thread(kept.of_agent, agent, limit + 1, page_before(before))
        page = found[:limit]
        last = next_page(page[-1].started_at, page[-1].call_id) if len(found) > limit else None
        return AssistedCallsAnswer(calls=[_answer(call) for call in page], next=last)

    @router.get("/calls/{call_id}", summary="One call", responses={**ERRORS, **UNKNOWN})
    async def one(
        call_id: _CallId, agent_id: _ForAgent = "", caller: Caller = admitted
    ) -> TranscriptAnswer:
        """With its transcript, moods and pushes."""
        agent = agent_of(caller, agent_id)
        try:
            call = await asyncio.to_thread(kept.get, agent, call_id)
        except UnknownLiveCallError:
            raise unknown_call(call_id, "call_id") from None
        bodies = await asyncio.to_thread(kept.events, agent, call_id)
        events = [json.loads(body) for body in bodies]
        return TranscriptAnswer(**_answer(call).model_dump(), events=events)

    @router.post(
        "/calls/{call_id}/scene",
        summary="Name the step that a call is in",
        responses={**ERRORS, **UNKNOWN, **CONFLICT},
    )
    async def scene(
        call_id: _CallId, named: StepNamed, agent_id: _ForAgent = "", caller: Caller = admitted
    ) -> SceneAnswer:
        """As the agent sees it. Product and campaign stay what the call's client told."""
        agent = agent_of(caller, agent_id)
        try:
            before = await asyncio.to_thread(kept.get, agent, call_id)
            now = {**before.scene, "step": step_named(named.step, services.config.assist.steps)}
            goes_on = await asyncio.to_thread(kept.move, agent, call_id, now)
        except UnknownLiveCallError:
            raise unknown_call(call_id, "call_id") from None
        if not goes_on:
            raise RequestError(
                "assist.over",
                "the call is over",
                status=409,
                field="call_id",
                fix="name a call that goes on",
            )
        return SceneAnswer(scene=now)

    @router.delete(
        "/calls/{call_id}",
        summary="Delete a call",
        status_code=204,
        responses={**ERRORS, **UNKNOWN},
    )
    async def delete(call_id: _CallId, agent_id: _ForAgent = "", caller: Caller = admitted) -> None:
        """With all that was said, suggested and learned of it; one that goes on is broken off."""
        agent = agent_of(caller, agent_id)
        try:
            await asyncio.to_thread(kept.delete, agent, call_id)
        except UnknownLiveCallError:
            raise unknown_call(call_id, "call_id") from None

    return router


def _answer(call: AssistCall) -> AssistedCallAnswer:
    return AssistedCallAnswer(
        call_id=call.call_id,
        agent_id=call.agent_id,
        customer_id=call.customer_id,
        scene=dict(call.scene),
        started_at=call.started_at,
        ended_at=call.ended_at,
        outcome=Outcome(call.outcome) if call.outcome else None,
    )
