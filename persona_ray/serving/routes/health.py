"""Is it there, can it answer, what has it counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Response

from persona_ray.errors import PersonaRayError, RequestError
from persona_ray.serving.documents import errors
from persona_ray.serving.schemas import HealthAnswer, ReadyAnswer, model_answer

if TYPE_CHECKING:
    from persona_ray.serving.application import Common

READY_WITHIN_S = 5.0
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def health(services: Common) -> APIRouter:
    """GET /health, /health/ready (both without a key) and /metrics (scope `metrics`)."""
    router = APIRouter(tags=["operation"])

    @router.get("/health", summary="This process answers")
    async def live() -> HealthAnswer:
        """For a liveness probe: nothing else is asked."""
        return HealthAnswer(status="alive")

    @router.get("/health/ready", summary="Model and database answer", responses=errors(503))
    async def ready() -> ReadyAnswer:
        """For a readiness probe: 503 while a model is loading or the database is away."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                model = await services.model()
                await asyncio.to_thread(services.store.keys.all)
        except (PersonaRayError, TimeoutError):
            raise RequestError(
                "service.not_ready",
                "the model or the database does not answer",
                status=503,
                fix="ask again later",
                retry_after_s=READY_WITHIN_S,
            ) from None
        return ReadyAnswer(status="ready", model=model_answer(model))

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **errors(401, 403, 429),
        },
        dependencies=[Depends(services.gate.requires("metrics"))],
    )
    async def metrics() -> Response:
        """Of this ingress replica; deployments are measured by Ray's metrics agents."""
        return Response(services.metrics.text(), media_type=_PROMETHEUS)

    return router
