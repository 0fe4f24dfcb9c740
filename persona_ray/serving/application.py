"""The web application of the ingress: routes over services. It knows neither Ray nor a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI

from persona_ray import __version__

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.serving.service import PersonalityService
    from persona_ray.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """What routes are built from."""

    config: RunConfig
    personality: PersonalityService
    store: Store


BuildRouter = Callable[[Services], APIRouter]


def build_app(services: Services, routers: Sequence[BuildRouter]) -> FastAPI:
    """The application with the routes of `routers`."""
    app = FastAPI(title="persona-ray", version=__version__)
    for build in routers:
        app.include_router(build(services))
    return app
