"""The web application of the ingress: routes over services. It knows neither Ray nor a model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from fastapi import APIRouter, FastAPI

from persona_ray import __version__
from persona_ray.serving.boundary import Boundary
from persona_ray.serving.ending import Ending, Traffic
from persona_ray.serving.failures import install_failures
from persona_ray.serving.gate import Gate
from persona_ray.serving.limits import BodyLimit, TimeLimit
from persona_ray.serving.metrics import Metrics

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.serving.service import PersonalityService, ServedModel
    from persona_ray.store import Store

_ABOUT = """\
The personality colour (FPA: red, blue, yellow, green) of a caller, from what the caller says and
how. Every answer that is no success has the shape of `ErrorAnswer`: its `code` never changes its
meaning, `field` names what is wrong, `fix` says how to mend it. `trace_id` is that of the header
`x-trace-id`, or of W3C's `traceparent`, if the request had one."""


@dataclass(frozen=True, slots=True)
class Services:
    """What routes are built from."""

    config: RunConfig
    personality: PersonalityService
    store: Store
    metrics: Metrics = field(default_factory=Metrics)
    gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate", Gate(self.store, self.config.serving.keys))

    async def model(self) -> ServedModel:
        """The model that answers now."""
        return await self.personality.model()


class Common(Protocol):
    """What the services of every application have."""

    @property
    def config(self) -> RunConfig: ...

    @property
    def store(self) -> Store: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def gate(self) -> Gate: ...

    async def model(self) -> ServedModel: ...


ServicesT = TypeVar("ServicesT", bound=Common)
BuildRouter = Callable[[Services], APIRouter]


def build_app(
    services: ServicesT, routers: Sequence[Callable[[ServicesT], APIRouter]], about: str = _ABOUT
) -> FastAPI:
    """The application with the routes of `routers`; `app.state.traffic` is what it has to do.

    FastAPI's own pages of documentation load scripts from elsewhere, so there are none:
    /openapi.json is for any tool.
    """
    limits = services.config.serving.limits
    # Python chooses the folder of uploads once, by writing to it: not when the disk is full.
    with suppress(OSError):
        tempfile.gettempdir()
    app = FastAPI(
        title="persona-ray", version=__version__, description=about, docs_url=None, redoc_url=None
    )
    for build in routers:
        app.include_router(build(services))
    install_failures(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_bytes=int(limits.max_upload_mb * 1e6))
    app.add_middleware(TimeLimit, seconds=limits.request_timeout_s)
    app.state.traffic = Traffic()
    app.add_middleware(Ending, traffic=app.state.traffic)
    app.add_middleware(Boundary, metrics=services.metrics)
    return app
