"""Forgetting a person: a user, or who called."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from persona_ray.errors import RequestError
from persona_ray.inference.screening.reporting import ReportDesk, Whose
from persona_ray.serving.audited import actor_of
from persona_ray.serving.documents import ERRORS
from persona_ray.serving.gate import Caller
from persona_ray.serving.schemas import Strict
from persona_ray.serving.screening.services import user_of
from persona_ray.store.audit import acting

if TYPE_CHECKING:
    from persona_ray.serving.screening.services import ScreeningServices


class PersonNamed(Strict):
    """Who is to be forgotten, in the body: addresses of requests go into logs."""

    by: Whose
    name: str = Field(
        "", max_length=128, description="a user's id (empty: the key's own), a number, a voice's id"
    )


class PersonForgotten(BaseModel):
    """What was deleted: calls, their recordings, and other rows."""

    calls: int
    recordings: int
    rows: int


def screening_forget(services: ScreeningServices) -> APIRouter:
    """/v1/screening/forget."""
    desk = ReportDesk(services.store, services.config.screening)
    reads = Depends(services.gate.requires("screening"))
    router = APIRouter(prefix="/v1/screening", tags=["screening"], responses=ERRORS)

    @router.post("/forget", summary="Forget a person")
    async def forget(asked: PersonNamed, caller: Caller = reads) -> PersonForgotten:
        """Calls with recordings, notices and corrections, numbers, voices, reports, appeals and
        their histories. A user may be forgotten by his own key; callers by operators."""
        name = _name(asked, caller)
        delete = services.recordings.delete
        with acting(actor_of(caller)):
            done = await asyncio.to_thread(desk.forget, asked.by, name, delete)
        return PersonForgotten(calls=done.calls, recordings=done.recordings, rows=done.rows)

    return router


def _name(asked: PersonNamed, caller: Caller) -> str:
    if asked.by is Whose.USER:
        return user_of(caller, asked.name)
    if not caller.allows("operator"):
        raise RequestError(
            "key.scope",
            "the key has not the scope 'operator'",
            status=403,
            field="by",
            fix="ask with a key that has it",
        )
    if not asked.name:
        raise RequestError(
            "screening.person", f"no {asked.by} is named", field="name", fix="name it"
        )
    return asked.name
