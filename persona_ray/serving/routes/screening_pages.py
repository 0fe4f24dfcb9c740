"""The pages of screening: calls (/inbox), sets and libraries (/libraries), reports (/reports).

Like the pages of colours they hold no data and need no key: what they show comes from the routes
below /v1/screening, with the key of whoever looks at them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from persona_ray.serving.pages.files import MENUS
from persona_ray.serving.routes.pages import add_pages

if TYPE_CHECKING:
    from persona_ray.serving.application import Common


class ReportRules(BaseModel):
    """What it takes before reports change a shared set."""

    persons: int = Field(description="distinct ones, at least")
    weight: float = Field(description="of their reports together, after decay, at least")
    half_life_days: float = Field(description="after which a report counts half")
    expires_days: float = Field(description="of an entry that reports made")


class ScreeningPageSettings(BaseModel):
    """What a page needs to know before it has a key."""

    keys_required: bool
    reports: ReportRules


def screening_pages(services: Common) -> APIRouter:
    """GET /inbox, /libraries, /reports, /assets/..., /v1/pages/settings and /v1/pages/access."""
    router = APIRouter(tags=["pages"])
    config = services.config
    add_pages(router, "screening", services.gate)

    @router.get("/", include_in_schema=False)
    async def first() -> RedirectResponse:
        """Browsers keep what stands behind the `#`: the session's key."""
        return RedirectResponse(MENUS["screening"][0].path, headers={"cache-control": "no-cache"})

    @router.get("/v1/pages/settings", summary="Before there is a key")
    async def settings() -> ScreeningPageSettings:
        rules = config.screening.reports
        return ScreeningPageSettings(
            keys_required=config.serving.keys.required,
            reports=ReportRules(
                persons=rules.min_reporters,
                weight=rules.min_weight,
                half_life_days=rules.half_life_days,
                expires_days=rules.expires_days,
            ),
        )

    return router
