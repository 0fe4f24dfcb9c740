"""The web pages: recognise (/), annotate (/annotate), models (/models), and what they are made of.

The pages hold no data and need no key; what they show comes from the routes below /v1, with the
key of whoever looks at them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field

from persona_ray.errors import RequestError
from persona_ray.serving.documents import errors
from persona_ray.serving.pages.files import MENUS, page_files

if TYPE_CHECKING:
    from persona_ray.serving.application import Services
    from persona_ray.serving.gate import Gate

# Scripts, styles and connections of this server alone, no text becomes HTML, nobody frames it.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_HEADERS = {
    "content-security-policy": POLICY,
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_ASSET_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
_FOR_EVER = "public, max-age=31536000, immutable"

_Scope = Literal["recognise", "live", "annotate", "models", "screening", "assist", "operator"]


class PageSettings(BaseModel):
    """What a page needs to know before it has a key."""

    keys_required: bool
    labels: list[str]
    max_upload_mb: float
    max_call_s: float


class AccessAnswer(BaseModel):
    """Whose key it is."""

    name: str = Field(description="the key's; empty where no key is needed")
    scopes: list[str]


def pages(services: Services) -> APIRouter:
    """GET /, /annotate, /models, /assets/..., /v1/pages/settings and /v1/pages/access."""
    router = APIRouter(tags=["pages"])
    config = services.config

    add_pages(router, "personality", services.gate)

    @router.get("/v1/pages/settings", summary="Before there is a key")
    async def settings() -> PageSettings:
        serving = config.serving
        return PageSettings(
            keys_required=serving.keys.required,
            labels=list(config.annotation.labels),
            max_upload_mb=serving.limits.max_upload_mb,
            max_call_s=serving.limits.max_call_s,
        )

    return router


def add_pages(router: APIRouter, application: str, gate: Gate) -> None:
    """The pages of an application, /assets/... and /v1/pages/access."""
    for place in MENUS[application]:
        _add_page(router, place.path, place.name)

    @router.get("/assets/{digest}/{name:path}", include_in_schema=False)
    async def asset(digest: str, name: str) -> Response:
        """Of this release for ever; for the address of another release's, this one's once: while
        replicas are replaced, HTML and assets may come from different ones."""
        known = page_files()
        found = known.assets.get(name)
        if found is None:
            raise RequestError(
                "request.unknown_path",
                "there is no such file",
                status=404,
                fix="load the page again",
            )
        kept = _FOR_EVER if digest == known.digest else "no-store"
        headers = {**_ASSET_HEADERS, "cache-control": kept}
        return Response(found.body, media_type=found.media_type, headers=headers)

    @router.get(
        "/v1/pages/access",
        summary="Whether a key has a scope",
        responses=errors(401, 403, 422, 429),
    )
    async def access(request: Request, scope: Annotated[_Scope, Query()]) -> AccessAnswer:
        """A page asks before it opens a WebSocket: browsers do not tell why one was refused."""
        caller = await gate.admit(request, scope)
        return AccessAnswer(name=caller.name, scopes=sorted(caller.scopes))


def _add_page(router: APIRouter, path: str, name: str) -> None:
    async def page(if_none_match: Annotated[str, Header()] = "") -> Response:
        found = page_files().pages[name]
        headers = {**_HEADERS, "etag": found.etag, "cache-control": "no-cache"}
        if found.etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(found.body, media_type="text/html; charset=utf-8", headers=headers)

    router.add_api_route(path, page, methods=["GET", "HEAD"], name=name, include_in_schema=False)
