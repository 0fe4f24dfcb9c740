"""What persons look at in sets and libraries: one number's entries, voices by category."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from persona_ray.errors import RequestError
from persona_ray.inference.screening.records import Standing
from persona_ray.inference.screening.reporting import ReportDesk
from persona_ray.inference.screening.sources import StoredSources, known
from persona_ray.serving.documents import ERRORS, UNKNOWN
from persona_ray.serving.gate import Caller, operator_of
from persona_ray.serving.schemas import Strict
from persona_ray.serving.screening.fields import ForUser
from persona_ray.serving.screening.services import user_of
from persona_ray.serving.screening.set_schemas import (
    HistoryAnswer,
    Number,
    NumberAnswer,
    history_answer,
    number_answer,
)
from persona_ray.store.screening.changes import SHARED, VOICES

if TYPE_CHECKING:
    from persona_ray.serving.application import Common
    from persona_ray.store.screening.records import NumberEntry
    from persona_ray.store.screening.voice_shelf import ShelvedVoice, VoiceCount


class NumberAsked(Strict):
    """A number, in the body: addresses of requests go into logs."""

    number: Number


class EntriesAnswer(BaseModel):
    """What the sets say of a number. `counts`: whose entry a call from it meets."""

    number: str
    own: NumberAnswer | None
    shared: NumberAnswer | None
    counts: NumberAnswer | None
    history: list[HistoryAnswer] = Field(description="of one's own entry, oldest first")


class VoiceCountAnswer(BaseModel):
    """So many voices of a category; `category` is empty where it is not known."""

    standing: Standing
    category: str
    voices: int
    earliest_expiry: datetime | None


class VoiceCountsAnswer(BaseModel):
    """Most voices first."""

    categories: list[VoiceCountAnswer]


class VoiceAnswer(BaseModel):
    """A voice of the libraries. `state` set_aside: too near to voice `near` to be told apart by a
    machine; it is compared with nobody until an operator decides."""

    voice_id: str
    standing: Standing
    category: str
    origin: str
    state: str
    near: str
    calls: int = Field(description="that it was made of")
    created_at: datetime
    changed_at: datetime
    expires_at: datetime | None


class VoicesAnswer(BaseModel):
    """`next`: send it as `after`; null: that is all."""

    voices: list[VoiceAnswer]
    next: str | None


class VoiceRemoval(Strict):
    """Which voice was harmless, and how that is known."""

    voice_id: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=500)


def screening_libraries(services: Common) -> APIRouter:
    """/v1/screening/numbers/inspect and /v1/screening/voices."""
    store, config = services.store, services.config.screening
    sources, desk = StoredSources(store, config), ReportDesk(store, config)
    owns = Depends(services.gate.requires("screening"))
    operates = Depends(services.gate.requires("operator"))
    router = APIRouter(prefix="/v1/screening", tags=["screening"], responses=ERRORS)

    @router.post("/numbers/inspect", summary="What the sets say of a number")
    async def inspect(
        asked: NumberAsked, user_id: ForUser = "", caller: Caller = owns
    ) -> EntriesAnswer:
        """One's own entry with its history, and the shared one; operators have the history of that
        at /v1/screening/shared/inspect."""
        user, now = user_of(caller, user_id), datetime.now(UTC)

        def look() -> EntriesAnswer:
            number, numbers = sources.number(asked.number), store.numbers
            return EntriesAnswer(
                number=number,
                own=_entry(numbers.entry(user, number, now)),
                shared=_entry(numbers.entry(SHARED, number, now)),
                counts=_entry(numbers.look_up(number, user, now)),
                history=[history_answer(item) for item in numbers.history(user, number)],
            )

        return await asyncio.to_thread(look)

    @router.get("/voices", summary="How many voices the libraries hold", dependencies=[owns])
    async def counts() -> VoiceCountsAnswer:
        """By standing and category. Voices can be neither listened to nor fetched here."""
        found = await asyncio.to_thread(store.voice_shelf.counts, datetime.now(UTC))
        return VoiceCountsAnswer(categories=[_count(one) for one in found])

    @router.get("/voices/entries", summary="The voices of the libraries", dependencies=[operates])
    async def voices(
        after: Annotated[str, Query(max_length=128)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        category: Annotated[str, Query(max_length=64)] = "",
    ) -> VoicesAnswer:
        """In the order of ids; for operators."""
        page, now = store.voice_shelf.page, datetime.now(UTC)
        found = await asyncio.to_thread(page, now, after, limit + 1, category)
        answers = [_voice(one) for one in found[:limit]]
        return VoicesAnswer(
            voices=answers, next=answers[-1].voice_id if len(found) > limit else None
        )

    @router.post(
        "/voices/remove",
        summary="Take a voice out of the libraries",
        status_code=204,
        responses=UNKNOWN,
    )
    async def remove(asked: VoiceRemoval, caller: Caller = operates) -> None:
        """It was harmless: those who reported it count for less. It goes with its samples."""
        actor, now = operator_of(caller), datetime.now(UTC)

        def take_out() -> bool:
            # First: the history is to hold this reason, not what the reports come to then.
            if not store.voices.remove(asked.voice_id, now, actor, asked.reason):
                return False
            desk.confirm(VOICES, asked.voice_id, Standing.NORMAL, actor, reason=asked.reason)
            return True

        if not await asyncio.to_thread(take_out):
            raise RequestError(
                "voice.unknown",
                "there is no such voice",
                status=404,
                field="voice_id",
                fix="list them: GET /v1/screening/voices/entries",
            )

    return router


def _entry(found: NumberEntry | None) -> NumberAnswer | None:
    return None if found is None else number_answer(known(found))


def _count(one: VoiceCount) -> VoiceCountAnswer:
    return VoiceCountAnswer(
        standing=Standing(one.standing),
        category=one.category,
        voices=one.voices,
        earliest_expiry=one.earliest_expiry,
    )


def _voice(one: ShelvedVoice) -> VoiceAnswer:
    return VoiceAnswer(
        voice_id=one.voice_id,
        standing=Standing(one.standing),
        category=one.category,
        origin=one.origin,
        state=one.state,
        near=one.near,
        calls=one.calls,
        created_at=one.created_at,
        changed_at=one.changed_at,
        expires_at=one.expires_at,
    )
