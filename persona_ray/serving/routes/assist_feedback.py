"""What agents say of pushes and calls, over REST; devices say the same over their line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Query

from persona_ray.conversation import Outcome
from persona_ray.errors import RequestError
from persona_ray.serving.assist.desk import AssistDesk
from persona_ray.serving.assist.protocol import CallOutcome, Feedback, FeedbackTaken
from persona_ray.serving.assist.schemas import (
    AssistForgotten,
    ForgetRequest,
    OutcomeAnswer,
    PushAnswer,
    PushesAnswer,
    push_answer,
)
from persona_ray.serving.assist.services import agent_of
from persona_ray.serving.audited import actor_of
from persona_ray.serving.documents import CONFLICT, ERRORS, UNKNOWN
from persona_ray.serving.gate import Caller
from persona_ray.store.audit import about_person, acting, note_forgotten

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_ray.serving.assist.services import AssistServices

_PushId = Annotated[str, Path(max_length=128, description="as the device was told it")]
_CallId = Annotated[str, Path(max_length=128, description="as `start` named it")]
_ForAgent = Annotated[str, Query(max_length=128, description="whose; with the scope operator")]
_KNOWN = {**ERRORS, **UNKNOWN}


def assist_feedback(services: AssistServices) -> APIRouter:
    """/v1/assist/pushes, what calls came to, and forgetting."""
    desk, store = AssistDesk(services), services.store
    agent = Depends(services.gate.requires("assist"))
    router = APIRouter(prefix="/v1/assist", tags=["assist"], responses=ERRORS)

    @router.post(
        "/pushes/{push_id}/seen",
        summary="A push stands on a screen",
        responses={**_KNOWN, **CONFLICT},
    )
    async def seen(push_id: _PushId, caller: Caller = agent) -> PushAnswer:
        """The same again changes nothing."""
        return push_answer(await desk.seen(caller, push_id))

    @router.post(
        "/pushes/{push_id}/feedback",
        summary="What became of a push",
        responses={**_KNOWN, **CONFLICT},
    )
    async def feedback(push_id: _PushId, said: Feedback, caller: Caller = agent) -> FeedbackTaken:
        """The same again changes nothing; another takes its place, as long as it is not late."""
        return await desk.feedback(caller, push_id, said)

    @router.get("/calls/{call_id}/pushes", summary="The pushes of a call", responses=_KNOWN)
    async def pushes(
        call_id: _CallId, agent_id: _ForAgent = "", caller: Caller = agent
    ) -> PushesAnswer:
        """In order, with the feedback that stands."""
        found = await desk.pushes(agent_of(caller, agent_id), call_id)
        return PushesAnswer(pushes=[push_answer(push, given) for push, given in found])

    @router.post("/calls/{call_id}/outcome", summary="What a call came to", responses=_KNOWN)
    async def outcome(
        call_id: _CallId, told: CallOutcome, agent_id: _ForAgent = "", caller: Caller = agent
    ) -> OutcomeAnswer:
        """The feedback on its pushes is scored anew with it."""
        taken = await desk.outcome(agent_of(caller, agent_id), call_id, told.outcome)
        return OutcomeAnswer(
            call_id=call_id,
            outcome=Outcome(taken.outcome),
            counted=taken.counted,
            rescored=taken.rescored,
        )

    async def forgotten(
        caller: Caller, kind: str, name: str, forget: Callable[[str], int]
    ) -> AssistForgotten:
        def noted() -> int:
            about = about_person(store, kind, name)
            calls = forget(name)
            note_forgotten(store, "assist.forget", about, calls)
            return calls

        with acting(actor_of(caller)):
            return AssistForgotten(calls=await asyncio.to_thread(noted))

    @router.post("/forget", summary="Forget an agent or a customer")
    async def forget(asked: ForgetRequest, caller: Caller = agent) -> AssistForgotten:
        """Calls with transcripts, suggestions, pushes, feedback and samples. An agent may be
        forgotten by his own key, customers by operators: of these all applications forget."""
        if asked.by == "agent":
            name = agent_of(caller, asked.name)
            return await forgotten(caller, "agent", name, store.assist_calls.forget_agent)
        name = _customer(caller, asked.name)
        return await forgotten(
            caller, "customer", name, lambda name: store.forget_customer(name).assist_calls
        )

    return router


def _customer(caller: Caller, name: str) -> str:
    if not caller.allows("operator"):
        raise RequestError(
            "key.scope",
            "the key has not the scope 'operator'",
            status=403,
            field="by",
            fix="ask with a key that has it",
        )
    if not name:
        raise RequestError("assist.customer", "no customer is named", field="name", fix="name one")
    return name
