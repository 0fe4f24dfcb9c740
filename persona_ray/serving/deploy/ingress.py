"""The ingress on Ray Serve: the web application, made in each replica from its handles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ray import serve

from persona_ray.serving.deploy.deployed import DeployedService, Handles
from persona_ray.serving.ending import Traffic

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve.handle import DeploymentHandle

    from persona_ray.config import RunConfig
    from persona_ray.serving.service import PersonalityService

# The application over a champion and, where there is one, a challenger; `apps` says which.
MakeApp = Callable[["RunConfig", "PersonalityService", "PersonalityService | None"], "FastAPI"]


class EndingIngress:
    """An ingress that can be told to end. `_traffic` is that of its web application."""

    _traffic: Traffic

    async def end(self) -> tuple[str, int]:
        """Take no more requests: which replica this is, and how many it has yet to answer, lines
        that have yet to be told among them."""
        traffic = self._traffic
        traffic.ending = True
        return serve.get_replica_context().replica_id.unique_id, traffic.requests + traffic.lines


class Ingress(EndingIngress):
    """Holds no state that another replica would miss."""

    def __init__(
        self,
        config: RunConfig,
        make_app: MakeApp,
        asr: DeploymentHandle,
        champion: Mapping[str, DeploymentHandle],
        challenger: Mapping[str, DeploymentHandle],
        follower: DeploymentHandle | None = None,
    ) -> None:
        """`champion` and `challenger`: handles by the names that `Handles` has for them; empty: no
        challenger. `follower` is not asked: Serve runs what the ingress has a handle of."""
        del follower
        self._config = config
        self._make_app = make_app
        self._champion = DeployedService(Handles(asr, **champion))
        self._challenger = DeployedService(Handles(asr, **challenger)) if challenger else None
        self._traffic = Traffic()

    async def __serve_build_asgi_app__(self) -> FastAPI:
        app = await asyncio.to_thread(
            self._make_app, self._config, self._champion, self._challenger
        )
        self._traffic = app.state.traffic
        return app


IngressDeployment = serve.ingress()(Ingress)
