"""From configuration to the screening application on Ray Serve: which deployments, how many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import serve

from persona_ray.serving.ending import Traffic
from persona_ray.serving.graph import INGRESS_ONGOING, deployment_options
from persona_ray.serving.ingress import EndingIngress
from persona_ray.serving.screening.models import PARTS, DeployedModels, ScreeningModels

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

    from persona_ray.config import RunConfig
    from persona_ray.config.serving import ScaleConfig
    from persona_ray.serving.screening.models import BuildModels

MakeScreeningApp = Callable[["RunConfig", DeployedModels, Mapping[str, str]], "FastAPI"]


class ScreeningIngress(EndingIngress):
    """The web application, made in each replica from its handles. What another replica would miss
    is in the store."""

    def __init__(
        self,
        config: RunConfig,
        make_app: MakeScreeningApp,
        handles: Mapping[str, DeploymentHandle],
    ) -> None:
        self._config = config
        self._make_app = make_app
        self._models = DeployedModels(handles)
        self._traffic = Traffic()

    async def __serve_build_asgi_app__(self) -> FastAPI:
        names = await self._models.names()
        app = await asyncio.to_thread(self._make_app, self._config, self._models, names)
        self._traffic = app.state.traffic
        return app


ScreeningIngressDeployment = serve.ingress()(ScreeningIngress)


@dataclass(frozen=True, slots=True)
class ScreeningGraph:
    """Binds the deployments of a configuration. `build` loads models in a replica. `version`: as
    `Graph` has it."""

    config: RunConfig
    build: BuildModels
    version: str = ""

    def application(self, make_app: MakeScreeningApp) -> Application:
        """All deployments, bound."""
        ingress = self._deployment(
            ScreeningIngressDeployment, "ingress", self.config.serving.ingress
        )
        return ingress.options(max_ongoing_requests=INGRESS_ONGOING).bind(
            self.config, make_app, self._models()
        )

    def _models(self) -> dict[str, Application]:
        parts = self.config.screening.parts
        if parts.layout == "whole":
            whole = self._held("whole", parts.whole, PARTS)
            return dict.fromkeys(PARTS, whole)
        scales: dict[str, ScaleConfig] = {
            "ears": parts.ears,
            "voices": parts.voices,
            "categories": parts.categories,
            "robot": parts.robot,
            "mouth": parts.mouth,
        }
        return {part: self._held(part, scales[part], (part,)) for part in PARTS}

    def _held(self, name: str, scale: ScaleConfig, wanted: tuple[str, ...]) -> Application:
        deployment = self._deployment(ScreeningModels, name, scale)
        bound: Application = deployment.bind(self.config, scale, self.build, wanted)
        return bound

    def _deployment(self, kind: type, name: str, scale: ScaleConfig) -> Any:
        options = deployment_options(self.config, scale, self.version)
        return serve.deployment(kind).options(name=name, **options)
