"""Files of screened calls, by signed links: recordings and transcripts. No key is asked for: the
link is one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import FileResponse

from persona_ray.serving.documents import UNKNOWN, errors
from persona_ray.serving.opened_file import OpenedFile
from persona_ray.serving.screening.desk import unknown_call
from persona_ray.serving.screening.links import PATH
from persona_ray.serving.screening.recordings import opened
from persona_ray.store.screening.call_records import UnknownCallError

if TYPE_CHECKING:
    from persona_ray.serving.screening.services import ScreeningServices
    from persona_ray.store.screening.call_records import ScreenedCall

# What callers said is neither kept on the way nor named to the next page.
PRIVATE = {"cache-control": "private, no-store", "referrer-policy": "no-referrer"}
_Ref = Annotated[str, Path(max_length=64, pattern="^[A-Za-z0-9_-]+$")]
_Signature = Annotated[str, Query(max_length=128)]


def screening_files(services: ScreeningServices) -> APIRouter:
    """/v1/screening/files/{ref}/recording and /transcript."""
    router = APIRouter(prefix=PATH, tags=["screening"])
    link_errors = errors(422, said={403: "not one of our links", 410: "the link is over"})

    async def call_of(ref: str, what: str, expires: int, signature: str) -> ScreenedCall:
        services.links.check(what, ref, expires, signature)
        try:
            return await asyncio.to_thread(services.store.screened_calls.by_ref, ref)
        except UnknownCallError:
            raise unknown_call() from None

    @router.get(
        "/{ref}/recording",
        summary="A recording, by its signed link",
        response_class=FileResponse,
        responses={200: {"content": {"audio/ogg": {}}}, **link_errors, **UNKNOWN},
    )
    async def recording(ref: _Ref, expires: int, signature: _Signature) -> FileResponse:
        """No key is asked for: the link is one."""
        call = await call_of(ref, "recording", expires, signature)
        path = services.recordings.file(call.recording)
        if path is None:
            raise unknown_call()
        sound = await asyncio.to_thread(opened, path, services.vault)
        return OpenedFile(sound, path, "audio/ogg", PRIVATE)

    @router.get(
        "/{ref}/transcript",
        summary="A transcript, by its signed link",
        response_class=Response,
        responses={200: {"content": {"application/json": {}}}, **link_errors, **UNKNOWN},
    )
    async def transcript(ref: _Ref, expires: int, signature: _Signature) -> Response:
        """No key is asked for: the link is one."""
        call = await call_of(ref, "transcript", expires, signature)
        turns = (call.verdict or {}).get("turns", [])
        body = json.dumps({"turns": turns}, ensure_ascii=False)
        return Response(body, media_type="application/json", headers=PRIVATE)

    return router
