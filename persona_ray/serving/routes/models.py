"""The registry: versions, how they were judged, promotion and the way back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from persona_ray.errors import (
    BundleError,
    PersonaRayError,
    PromotionError,
    RegistryError,
    RequestError,
    TrackingError,
)
from persona_ray.serving.audited import actor_of
from persona_ray.serving.documents import errors
from persona_ray.serving.errands import Errand, Errands, ErrandState
from persona_ray.serving.failures import ErrorDetail, Failure, failure_of, unexpected
from persona_ray.serving.gate import Caller
from persona_ray.serving.models_desk import (
    ComparisonView,
    DetailView,
    ModelsDesk,
    PromotionView,
    RegistryView,
    RollbackView,
)
from persona_ray.serving.schemas import Strict
from persona_ray.store.audit import acting

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_ray.progress import Progress
    from persona_ray.serving.application import BuildRouter, Services
ResultT = TypeVar("ResultT")
Result = ComparisonView | PromotionView
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="a version's")]
_ERRORS = errors(
    *(401, 403, 422, 429, 503),
    said={404: "there is no such version", 409: "the registry cannot do it, or is busy"},
)
_TRACKING_FIX = "see that the tracking server runs, and ask again"


class CompareRequest(Strict):
    """Two versions by their numbers."""

    first: int = Field(ge=1, le=2**31 - 1)
    second: int = Field(ge=1, le=2**31 - 1)


class PromoteRequest(Strict):
    """The version to be champion. It is compared with the present one; `force` promotes it whatever
    the comparison says, and needs a reason."""

    version: int = Field(ge=1, le=2**31 - 1)
    reason: str = Field("", max_length=500, description="kept in the history")
    force: bool = False


class RollbackRequest(Strict):
    """Back to the champion before."""

    reason: str = Field(min_length=1, max_length=500, description="kept in the history")


class ModelsAnswer(BaseModel):
    """The registry, and the version that this service answers with."""

    registry: RegistryView
    serving_name: str
    serving_version: str


class ErrandAnswer(BaseModel):
    """A comparison or promotion under way; `refused`: the version is worse beyond noise."""

    errand_id: str
    kind: str
    state: ErrandState
    refused: bool = False
    stage: str
    done: float
    total: float | None
    comparison: ComparisonView | None = None
    promotion: PromotionView | None = None
    error: ErrorDetail | None = None


def models(desk: ModelsDesk) -> BuildRouter:
    """Routes below /v1/models over a registry."""
    return lambda services: _routes(services, desk)


def _routes(services: Services, desk: ModelsDesk) -> APIRouter:
    may = Depends(services.gate.requires("models"))
    router = APIRouter(
        prefix="/v1/models",
        tags=["models"],
        responses=_ERRORS,
        dependencies=[may],
    )
    errands: Errands[Result] = Errands()

    @router.get("", summary="Versions and history")
    async def registry() -> ModelsAnswer:
        view, model = await asyncio.gather(_in_thread(desk.registry), services.personality.model())
        return ModelsAnswer(registry=view, serving_name=model.name, serving_version=model.version)

    @router.get("/versions/{number}", summary="Figures and plots of a version")
    async def detail(number: Number) -> DetailView:
        return await _in_thread(lambda: desk.detail(number))

    @router.get(
        "/versions/{number}/plots/{name}",
        summary="A plot of a version's evaluation",
        response_class=Response,
        responses={200: {"content": {"image/svg+xml": {}}}},
    )
    async def plot(number: Number, name: Annotated[str, Path(max_length=80)]) -> Response:
        drawn = await _in_thread(lambda: desk.plot(number, name))
        # Opened by itself it is a picture and runs nothing.
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(drawn, media_type="image/svg+xml", headers=headers)

    @router.post("/comparisons", status_code=202, summary="Compare two versions")
    async def compare(asked: CompareRequest) -> ErrandAnswer:
        """Both answer for the same clips of customers whom neither has heard. Takes minutes."""
        return _errand(
            errands.start(
                "comparison", lambda progress: desk.compare(asked.first, asked.second, progress)
            )
        )

    @router.post("/promotions", status_code=202, summary="Make a version champion")
    async def promote(asked: PromoteRequest, caller: Caller = may) -> ErrandAnswer:
        """Unless it is worse than the present one beyond noise. Takes minutes."""
        reason = asked.reason.strip()
        if asked.force and not reason:
            raise RequestError(
                "models.reason", "force needs a reason", field="reason", fix="say why"
            )

        actor = actor_of(caller)

        def work(progress: Progress) -> PromotionView:
            with acting(actor):
                return desk.promote(asked.version, reason, asked.force, progress)

        return _errand(errands.start("promotion", work))

    @router.post("/rollback", summary="Back to the champion before")
    async def rollback(asked: RollbackRequest, caller: Caller = may) -> RollbackView:
        with acting(actor_of(caller)):
            return await _in_thread(lambda: desk.rollback(asked.reason.strip()))

    @router.get("/errands/{errand_id}", summary="How far it is")
    async def errand(errand_id: Annotated[str, Path(max_length=64)]) -> ErrandAnswer:
        return _errand(errands.find(errand_id))

    return router


async def _in_thread(work: Callable[[], ResultT]) -> ResultT:
    try:
        return await asyncio.to_thread(work)
    except PersonaRayError as error:
        raise _failure(error).refusal() from None


def _failure(error: Exception) -> Failure:

    if isinstance(error, PromotionError):
        return Failure(409, "models.worse", str(error), fix="train a better one, or force it")
    if isinstance(error, RegistryError):
        return Failure(409, "models.refused", str(error), fix="see the versions there are")
    if isinstance(error, TrackingError):
        return Failure(503, "models.registry", str(error), fix=_TRACKING_FIX)
    if isinstance(error, BundleError):
        return Failure(409, "models.bundle", str(error), fix="choose another version")
    return failure_of(error) or unexpected()


def _errand(errand: Errand[Result]) -> ErrandAnswer:
    result = errand.result
    return ErrandAnswer(
        errand_id=errand.errand_id,
        kind=errand.kind,
        state=errand.state,
        refused=isinstance(errand.error, PromotionError),
        stage=errand.stage,
        done=errand.done,
        total=errand.total,
        comparison=result if isinstance(result, ComparisonView) else None,
        promotion=result if isinstance(result, PromotionView) else None,
        error=None if errand.error is None else _failure(errand.error).detail(),
    )
