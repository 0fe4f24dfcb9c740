"""Scripts for their owner: versions, import and export, use and success, gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response

from persona_ray.errors import LibraryError, RequestError
from persona_ray.inference.assist.gaps import group
from persona_ray.inference.assist.library import library_bytes, parse_library
from persona_ray.inference.assist.shelf import LibraryShelf, change_between
from persona_ray.serving.assist.library_schemas import (
    GapAnswer,
    GapsAnswer,
    ImportAnswer,
    LibraryAnswer,
    ScriptsAnswer,
    UseRequest,
    import_answer,
    script_answer,
    version_answer,
    wrong_answer,
)
from persona_ray.serving.documents import ERRORS, UNKNOWN
from persona_ray.serving.gate import Caller, operator_of
from persona_ray.store.assist.script_use import ScriptUse

if TYPE_CHECKING:
    from persona_ray.config.assist import AssistConfig
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.store.assist.records import StoredSuggestion

# Why a sentence found no script for want of one.
GAPS = ("nothing_fits", "no_script")
_LATEST = 2000
_MOST_GAPS = 100
# A script is a few hundred bytes; YAML of more takes the replica too long.
_LARGEST = 2_000_000
_MEDIA = {"yaml": "application/yaml", "csv": "text/csv"}

Form = Literal["yaml", "csv"]
AnswerT = TypeVar("AnswerT")
_Days = Annotated[float, Query(gt=0, le=3660, description="how far back, in days")]
_Name = Annotated[str, Query(max_length=100, description="of the library; empty: the current one")]
_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            media: {"schema": {"type": "string", "format": "binary"}} for media in _MEDIA.values()
        },
    }
}


def assist_library(services: AssistServices) -> APIRouter:
    """/v1/assist/library and /v1/assist/scripts, for keys with the scope `operator`."""
    config, store = services.config.assist, services.store
    shelf = LibraryShelf(store, config)
    operates = Depends(services.gate.requires("operator"))
    router = APIRouter(
        prefix="/v1/assist", tags=["assist"], responses=ERRORS, dependencies=[operates]
    )

    @router.get("/library", summary="What calls begin with, and all versions")
    async def library() -> LibraryAnswer:
        """A file that the configuration names goes before the store's current version."""
        return await _told(lambda: _library(shelf, config))

    @router.get(
        "/library/file",
        summary="A library as a file",
        responses={200: {"content": {media: {} for media in _MEDIA.values()}}, **UNKNOWN},
        response_class=Response,
    )
    async def file(form: Form = "yaml", name: _Name = "", version: _Name = "") -> Response:
        """Which an import reads back."""
        named = bool(name or version)
        found = await _told(lambda: shelf.get(name, version) if named else shelf.current(), 404)
        data = await _told(lambda: library_bytes(found, f".{form}"))
        # A header holds no Chinese; the file says its name itself.
        headers = {"content-disposition": f'attachment; filename="library-{found.digest}.{form}"'}
        return Response(data, media_type=_MEDIA[form], headers=headers)

    @router.post("/library/import", summary="A new version", openapi_extra=_FILE)
    async def put(
        request: Request,
        form: Form = "yaml",
        name: Annotated[
            str, Query(max_length=100, description="of a CSV file: retail-7 is retail, version 7")
        ] = "library-1",
        preview: Annotated[
            bool, Query(description="say what would change or is wrong, change nothing")
        ] = False,
        caller: Caller = operates,
    ) -> ImportAnswer:
        """The body is the file, whose mistakes are all told, by a preview as a list. Calls that go
        on keep theirs."""
        data, by = await _file_of(request), operator_of(caller)

        def work() -> ImportAnswer:
            try:
                new = parse_library(data, f"{name}.{form}", config.steps)
            except LibraryError as error:
                if preview:
                    return wrong_answer(error)
                raise
            change = change_between(shelf.current(), new)
            if not preview:
                shelf.put(new, by)
            return import_answer(new.name, new.version, change, not preview)

        return await _told(work)

    @router.post("/library/use", summary="Go back to a version", responses=UNKNOWN)
    async def use(asked: UseRequest) -> LibraryAnswer:
        """From now on calls begin with it."""
        await _told(lambda: shelf.use(asked.name, asked.version), 404)
        return await library()

    @router.get("/scripts", summary="Use and success of each script")
    async def scripts(days: _Days = 30) -> ScriptsAnswer:
        """Those of the current library, and of others what was pushed."""
        since = datetime.now(UTC) - timedelta(days=days)

        def work() -> ScriptsAnswer:
            known, used = shelf.current().scripts, store.script_use.since(since)
            ids = sorted(known.keys() | used.keys())
            rows = [script_answer(known.get(one), used.get(one, ScriptUse(one))) for one in ids]
            return ScriptsAnswer(since=since, scripts=rows)

        return await _told(work)

    @router.get("/gaps", summary="What customers said that no script fits")
    async def gaps(
        days: _Days = 30, product: Annotated[str, Query(max_length=100)] = ""
    ) -> GapsAnswer:
        """Grouped by likeness, by product; those after which the best script was hardly sure to fit
        count, too. Customers' own words: they go with the calls."""
        since = datetime.now(UTC) - timedelta(days=days)

        def work() -> GapsAnswer:
            found = store.suggestions.latest(since, _LATEST, product)
            gaps = _gaps([row for row in found if _is_gap(row, config.choice.unsure)])
            return GapsAnswer(since=since, looked_at=len(found), gaps=gaps[:_MOST_GAPS])

        return await asyncio.to_thread(work)

    return router


def _library(shelf: LibraryShelf, config: AssistConfig) -> LibraryAnswer:
    now, versions = shelf.current(), shelf.versions()
    stored = any(one.current for one in versions)
    return LibraryAnswer(
        name=now.name,
        version=now.version,
        digest=now.digest,
        scripts=len(now.scripts),
        origin="file" if config.library else "store" if stored else "shipped",
        versions=[version_answer(one) for one in versions],
    )


async def _file_of(request: Request) -> bytes:
    data = await request.body()
    if len(data) > _LARGEST:
        raise RequestError(
            "request.too_large",
            f"a library of {len(data)} bytes, where {_LARGEST} are the most",
            status=413,
            field="body",
            fix="divide it",
        )
    return data


def _gaps(rows: Sequence[StoredSuggestion]) -> list[GapAnswer]:
    """The most frequent first."""
    by_product: dict[str, list[str]] = {}
    for row in rows:
        said = str(row.context.get("sentence", {}).get("text", ""))
        by_product.setdefault(row.product, []).append(said)
    found = [
        GapAnswer(count=gap.count, product=name, examples=list(gap.examples))
        for name, sentences in by_product.items()
        for gap in group(sentences)
    ]
    return sorted(found, key=lambda gap: -gap.count)


def _is_gap(row: StoredSuggestion, unsure: float) -> bool:
    if row.reason:
        return row.reason in GAPS
    return max((one["parts"]["target"] for one in row.candidates), default=unsure) < unsure


async def _told(work: Callable[[], AnswerT], status: int = 422) -> AnswerT:
    """What `work` gives, in a thread; what is wrong with a library is the request's."""
    try:
        return await asyncio.to_thread(work)
    except LibraryError as error:
        raise RequestError(
            "assist.library",
            str(error),
            status=status,
            field="version" if status == 404 else "body",
            fix="choose one of GET /v1/assist/library" if status == 404 else "mend the file",
        ) from None
