"""The agent's page (/assist), that of the owner of scripts (/scripts), and what they need to know
before they have a key.

Like the other pages they hold no data: what they show comes from `/v1/assist`, with the key of
whoever looks at them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from persona_ray.inference.assist.reasons import vocabulary
from persona_ray.serving.pages.files import MENUS
from persona_ray.serving.routes.pages import add_pages

if TYPE_CHECKING:
    from persona_ray.serving.application import Common


class AssistPageSettings(BaseModel):
    """What a page needs to know before it has a key."""

    keys_required: bool
    steps: list[str] = Field(description="of a call, in order")
    reasons: dict[str, dict[str, str]] = Field(
        description="by language: the words of a reason's codes; others say their value"
    )


def assist_pages(services: Common) -> APIRouter:
    """GET /assist, /scripts, /assets/..., /v1/pages/settings and /v1/pages/access."""
    router = APIRouter(tags=["pages"])
    config = services.config
    add_pages(router, "assist", services.gate)

    @router.get("/", include_in_schema=False)
    async def first() -> RedirectResponse:
        """Browsers keep what stands behind the `#`: the session's key."""
        return RedirectResponse(MENUS["assist"][0].path, headers={"cache-control": "no-cache"})

    @router.get("/v1/pages/settings", summary="Before there is a key")
    async def settings() -> AssistPageSettings:
        return AssistPageSettings(
            keys_required=config.serving.keys.required,
            steps=list(config.assist.steps),
            reasons={"en": dict(vocabulary("en")), "zh": dict(vocabulary("zh"))},
        )

    return router
