"""The challenger beside the champion: where it stands, and another chance for one taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, Field

from persona_ray.errors import RequestError
from persona_ray.serving.documents import ERRORS, errors
from persona_ray.serving.rollout.service import RolloutService
from persona_ray.serving.rollout.verdict import Finding, Healthy, RollBack, findings

if TYPE_CHECKING:
    from persona_ray.serving.application import Services


class State(StrEnum):
    """Where a challenger stands."""

    OFF = "off"
    STARTING = "starting"
    SAME = "same"
    RUNNING = "running"
    HEALTHY = "healthy"
    ROLLED_BACK = "rolled_back"


class Evidence(BaseModel):
    """Of one question: errors, latency or colours."""

    question: str
    seen: float = Field(description="requests that tell something about it")
    rate: float | None = Field(description="share of these that speaks against the challenger")
    limit: float = Field(description="what the rate may be")
    p_value: float = Field(description="that it is within the limit; valid at every look")
    e_value: float
    needed: float = Field(description="the e-value at which the challenger is taken back")


class RolloutAnswer(BaseModel):
    """`off`: there is no challenger; `starting`: the champion does not say yet which model it
    is; `same`: the challenger is the champion; `healthy`: shown to be within the limits."""

    state: State
    champion: str | None = Field(None, description="NAME/VERSION")
    challenger: str | None = Field(None, description="NAME/VERSION")
    reason: str | None = Field(None, description="why it was taken back")
    shadow_share: float = Field(0.0, description="of requests, as it is now")
    canary_share: float = Field(0.0, description="of requests, as it is now")
    counts: dict[str, float] = Field(default_factory=dict, description="of all replicas")
    evidence: list[Evidence] = Field(default_factory=list)


def rollout(services: Services) -> APIRouter:
    """GET /v1/rollout, POST /v1/rollout/restart. Ends the comparisons with the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if isinstance(services.personality, RolloutService):
            await services.personality.close()

    router = APIRouter(
        lifespan=lifespan,
        prefix="/v1/rollout",
        tags=["models"],
        responses={**ERRORS, **errors(said={409: "there is no challenger"})},
        dependencies=[Depends(services.gate.requires("models"))],
    )

    @router.get("", summary="The challenger")
    async def show() -> RolloutAnswer:
        """Shares, counts, evidence and verdict."""
        personality = services.personality
        if isinstance(personality, RolloutService) and personality.ledger.pair is None:
            # Nothing was asked of this replica yet.
            await personality.sync()
        return described(services)

    @router.post("/restart", summary="Another chance for the challenger")
    async def restart() -> RolloutAnswer:
        """What was seen of it is forgotten, and that it was taken back."""
        personality = services.personality
        if not isinstance(personality, RolloutService):
            raise RequestError(
                "rollout.off",
                "there is no challenger",
                status=409,
                fix="name one in serving.rollout.challenger, with a share above 0",
            )
        await personality.sync()
        await personality.restart()
        return described(services)

    return router


def described(services: Services) -> RolloutAnswer:
    personality = services.personality
    if not isinstance(personality, RolloutService):
        return RolloutAnswer(state=State.OFF)
    ledger, config = personality.ledger, personality.config
    pair, verdict, counts = ledger.pair, ledger.verdict, ledger.counts
    if pair is None:
        return RolloutAnswer(state=State.STARTING)
    found = findings(counts, config)
    return RolloutAnswer(
        state=_state(personality),
        champion=pair.champion,
        challenger=pair.challenger,
        reason=verdict.reason if isinstance(verdict, RollBack) else None,
        shadow_share=config.shadow_share if ledger.running else 0.0,
        canary_share=config.canary_share if ledger.running else 0.0,
        counts=counts.to_dict(),
        evidence=[_evidence(one, len(found) / config.significance) for one in found],
    )


def _state(personality: RolloutService) -> State:
    ledger = personality.ledger
    if isinstance(ledger.verdict, RollBack):
        return State.ROLLED_BACK
    if not ledger.running:
        return State.SAME
    return State.HEALTHY if isinstance(ledger.verdict, Healthy) else State.RUNNING


def _evidence(finding: Finding, needed: float) -> Evidence:
    return Evidence(
        question=finding.question.value,
        seen=finding.seen,
        rate=finding.total / finding.seen if finding.seen else None,
        limit=finding.limit,
        p_value=finding.p_value,
        e_value=finding.e_value,
        needed=needed,
    )
