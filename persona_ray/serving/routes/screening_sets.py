"""Sets and libraries for devices: heads, changes, snapshots, private look-ups, the keys."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import BaseModel, Field

from persona_ray.errors import RequestError
from persona_ray.serving.documents import ERRORS, errors
from persona_ray.serving.gate import Caller, operator_of
from persona_ray.serving.schemas import Strict
from persona_ray.serving.screening.distribution import Distributor, Library
from persona_ray.serving.screening.private import PrivateLookUp
from persona_ray.serving.screening.services import user_of
from persona_ray.serving.screening.statements import (
    Bucket,
    Changes,
    Head,
    Kind,
    Salt,
    Snapshot,
)
from persona_ray.vault.signing import SigningKeys, keys_folder
from persona_ray.vault.statements import Signed, Successor

if TYPE_CHECKING:
    from persona_ray.serving.application import Common

_WORTH_PACKING = 1024
_GZIP = b"\x1f\x8b"

Version = Annotated[int, Query(ge=0, le=2**31 - 1)]
Whose = Annotated[
    Literal["shared", "own"],
    Query(description="own: the set of the user whose key this is"),
]


class SignedHead(Signed):
    """How far a library has come, signed."""

    statement: Head  # type: ignore[assignment]


class SignedChanges(Signed):
    """A page of changes, signed."""

    statement: Changes  # type: ignore[assignment]


class SignedSnapshot(Signed):
    """A page of a snapshot, signed."""

    statement: Snapshot  # type: ignore[assignment]


class SignedSalt(Signed):
    """What to hash numbers with, signed."""

    statement: Salt  # type: ignore[assignment]


class SignedBucket(Signed):
    """Entries of a prefix, signed."""

    statement: Bucket  # type: ignore[assignment]


class SignedKey(Signed):
    """A key, signed by the one before it, the first one by itself."""

    statement: Successor  # type: ignore[assignment]


class KeysAnswer(BaseModel):
    """From the first key to the one that signs now."""

    keys: list[SignedKey] = Field(min_length=1)


class RollbackRequest(Strict):
    """Where to go back to."""

    version: int = Field(ge=0, le=2**31 - 1)
    reason: str = Field(min_length=1, max_length=500, description="for the history")


class RollbackAnswer(BaseModel):
    """`version`: the new one, with so many entries as they were."""

    version: int
    entries: int


def screening_sets(services: Common) -> APIRouter:
    """/v1/screening/sets: what devices keep, and ask for."""
    config, log = services.config.screening.distribution, services.store.changes

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # The first look-up would have to wait for the index.
        ahead = asyncio.create_task(asyncio.to_thread(private.salt))
        yield
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)

    admitted = Depends(services.gate.requires("device"))
    operates = Depends(services.gate.requires("operator"))
    router = APIRouter(
        prefix="/v1/screening/sets",
        tags=["screening"],
        responses=ERRORS,
        lifespan=lifespan,
    )
    keys = SigningKeys(keys_folder(services.config))
    distributor = Distributor(log, keys, config.page)
    private = PrivateLookUp(log, keys, config.prefix_bits, config.crowd)

    def library(
        kind: Kind,
        whose: Whose = "shared",
        user_id: Annotated[str, Query(max_length=200)] = "",
        caller: Caller = admitted,
    ) -> Library:
        return Library(kind, user_of(caller, user_id) if whose == "own" else "")

    asked = Depends(library)

    @router.get("/keys", summary="The keys that sign", dependencies=[admitted])
    async def keys_() -> KeysAnswer:
        chain = await asyncio.to_thread(keys.chain)
        return KeysAnswer.model_validate({"keys": [signed.model_dump() for signed in chain]})

    @router.get(
        "/numbers/salt",
        summary="What to hash numbers with",
        responses={200: {"model": SignedSalt}},
        response_class=Response,
        dependencies=[admitted],
    )
    async def salt(request: Request) -> Response:
        """For look-ups that do not name the number; the same for a day at most."""
        return await _signed(request, private.salt)

    @router.get(
        "/numbers/lookup",
        summary="Numbers by the first bits of their hashes",
        responses={200: {"model": SignedBucket}, **errors(said={409: "the salt has changed"})},
        response_class=Response,
        dependencies=[admitted],
    )
    async def look_up(
        request: Request,
        epoch: Annotated[str, Query(max_length=40, description="of the salt")],
        prefix: Annotated[str, Query(pattern="^[01]{0,32}$", description="binary digits")],
    ) -> Response:
        """Shared numbers only: a user's own are on the device."""
        return await _signed(request, lambda: private.bucket(epoch, prefix))

    @router.get(
        "/{kind}",
        summary="How far a library has come",
        responses={
            200: {"model": SignedHead},
            304: {"description": "no change since the version of If-None-Match"},
        },
        response_class=Response,
    )
    async def head(request: Request, of: Library = asked) -> Response:
        """A device that is at this version has nothing to fetch."""
        return await _signed(request, lambda: distributor.head(of), _head_tag)

    @router.get(
        "/{kind}/changes",
        summary="Changes since a version",
        responses={
            200: {"model": SignedChanges},
            304: {"description": "the page is still the one of If-None-Match"},
            **errors(said={409: "the library never came so far", 410: "take the snapshot"}),
        },
        response_class=Response,
    )
    async def changes(
        request: Request,
        since: Version,
        until: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
        of: Library = asked,
    ) -> Response:
        """A page; the next one begins at its `to`."""
        return await _signed(request, lambda: distributor.changes(of, since, until), _changes_tag)

    @router.get(
        "/{kind}/snapshot",
        summary="What stands at a version",
        responses={
            200: {"model": SignedSnapshot},
            304: {"description": "the page is still the one of If-None-Match"},
            **errors(said={409: "the library never came so far", 410: "begin anew"}),
        },
        response_class=Response,
    )
    async def snapshot(
        request: Request,
        version: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
        after: Annotated[str, Query(max_length=1000, pattern="^[A-Za-z0-9_=-]*$")] = "",
        of: Library = asked,
    ) -> Response:
        """A page, of the present version where none is named; the next one is `after` its `next`,
        of the same version."""
        return await _signed(
            request, lambda: distributor.snapshot(of, version, after), _snapshot_tag
        )

    @router.post(
        "/{kind}/rollback",
        summary="Put back what stood at an earlier version",
        responses=errors(said={409: "that version cannot be gone back to"}),
    )
    async def roll_back(
        kind: Kind, asked: RollbackRequest, caller: Caller = operates
    ) -> RollbackAnswer:
        """Of what is shared, as new changes: the version grows, and devices follow."""
        store, now = services.store.screening_rollback, datetime.now(UTC)
        back = store.numbers if kind is Kind.NUMBERS else store.voices
        try:
            done = await asyncio.to_thread(
                back, asked.version, operator_of(caller), asked.reason, now
            )
        except ValueError as error:
            raise RequestError(
                "sets.version",
                str(error),
                status=409,
                field="version",
                fix="choose a version that is still kept",
            ) from None
        return RollbackAnswer(version=done.version, entries=done.entries)

    return router


async def _signed(
    request: Request, make: Callable[[], Signed], tag: Callable[[Signed], str] | None = None
) -> Response:
    """What `make` signs, or 304 where the client has it by its tag."""
    signed = await asyncio.to_thread(make)
    headers = {"cache-control": "private, no-cache", "vary": "authorization, accept-encoding"}
    if tag is not None:
        # Weak: of a head, the time of issue differs.
        headers["etag"] = f'W/"{tag(signed)}-{signed.key_id[:8]}"'
        offered = request.headers.get("if-none-match", "")
        if headers["etag"] in (one.strip() for one in offered.split(",")):
            return Response(status_code=304, headers=headers)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    body = await asyncio.to_thread(_body, signed, packed)
    if body.startswith(_GZIP):
        headers["content-encoding"] = "gzip"
    return Response(body, media_type="application/json", headers=headers)


def _body(signed: Signed, packed: bool) -> bytes:
    told = {"statement": signed.statement, "key_id": signed.key_id, "signature": signed.signature}
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    return gzip.compress(body, 6) if packed and len(body) > _WORTH_PACKING else body


def _head_tag(signed: Signed) -> str:
    told = signed.statement
    return f"{told['version']}-{told['floor']}-{told['link'][:12]}"


def _changes_tag(signed: Signed) -> str:
    told = signed.statement
    return f"{told['since']}-{told['to']}-{told['follows'][:12]}-{told['link'][:12]}"


def _snapshot_tag(signed: Signed) -> str:
    told = signed.statement
    return f"{told['version']}-{told['link'][:12]}-{len(told['entries'])}"
