"""Models of an application, in parts: deployments on Ray Serve that hold some of them or all, the
ingress that asks them, and asking those of this process instead.

An application names its parts, and has a class of typed methods over `AskedParts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ray import serve

from persona_ray.errors import PersonaRayError, ServiceError
from persona_ray.serving.deploy.deployed import Chain, answer_of
from persona_ray.serving.deploy.graph import INGRESS_ONGOING, deployment_options
from persona_ray.serving.deploy.ingress import EndingIngress
from persona_ray.serving.deploy.replica import use_threads
from persona_ray.serving.deploy.stages import Failed
from persona_ray.serving.ending import Traffic
from persona_ray.watch import spans
from persona_ray.watch.process import watch_service

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

    from persona_ray.config import RunConfig
    from persona_ray.config.serving import ScaleConfig

WHOLE = "whole"


class Held(Protocol):
    """Parts that one process holds."""

    @property
    def names(self) -> Mapping[str, str]:
        """Name and version of models, as calls have them."""
        ...

    @property
    def parts(self) -> Mapping[str, object]:
        """By name; None: another process holds it."""
        ...

    @property
    def prepare(self) -> Callable[[], Coroutine[Any, Any, object]] | None:
        """Work to do beside the first calls."""
        ...


# Loads the parts that are wanted; called once in each replica, before it answers.
BuildParts = Callable[["RunConfig", Collection[str]], Held]


class PartsReplica:
    """A deployment. It gives what went wrong instead of raising it: Ray would wrap it."""

    def __init__(
        self, config: RunConfig, scale: ScaleConfig, build: BuildParts, wanted: Collection[str]
    ) -> None:
        watch_service(config.watching)
        use_threads(scale.threads)
        self._held = build(config, wanted)
        if self._held.prepare is not None:
            # Ray calls constructors on the replica's event loop.
            self._preparing = asyncio.create_task(self._held.prepare())

    async def names(self) -> dict[str, str]:
        """Name and version of models."""
        return dict(self._held.names)

    async def ask(
        self,
        part: str,
        method: str,
        asked: tuple[Any, ...],
        place: spans.Carried = spans.NOWHERE,
    ) -> Any:
        """What a part's method gives, or `Failed`."""
        try:
            with spans.continued(place, f"{part}.{method}"):
                return await _asked(self._held, part, method, asked)
        except PersonaRayError as error:
            return Failed(error)


class Way(Protocol):
    """How parts are asked."""

    async def names(self) -> Mapping[str, str]: ...

    async def ask(self, part: str, method: str, asked: tuple[Any, ...]) -> Any: ...


@dataclass(frozen=True, slots=True)
class InProcess:
    """Parts of this process."""

    held: Held

    async def names(self) -> Mapping[str, str]:
        return self.held.names

    async def ask(self, part: str, method: str, asked: tuple[Any, ...]) -> Any:
        return await _asked(self.held, part, method, asked)


@dataclass(frozen=True, slots=True)
class ByHandle:
    """Parts of a deployment. What a replica died of is asked once more."""

    handle: DeploymentHandle

    async def names(self) -> Mapping[str, str]:
        found: Mapping[str, str] = await answer_of(lambda: Chain(self.handle.names.remote()))
        return found

    async def ask(self, part: str, method: str, asked: tuple[Any, ...]) -> Any:
        found = await answer_of(partial(self._begun, part, method, asked))
        if isinstance(found, Failed):
            raise found.error
        return found

    def _begun(self, part: str, method: str, asked: tuple[Any, ...]) -> Chain:
        return Chain(self.handle.ask.remote(part, method, asked, place=spans.carried()))


class AskedParts:
    """Base of the seams over parts. Raises ServiceBusyError, ServiceLostError, and what the parts
    raise."""

    def __init__(self, ways: Mapping[str, Way]) -> None:
        """`ways`: by part."""
        self._ways = ways

    async def names(self) -> dict[str, str]:
        """Name and version of every model."""
        found: dict[str, str] = {}
        for way in set(self._ways.values()):
            found |= await way.names()
        return found

    async def _ask(self, part: str, method: str, *asked: Any) -> Any:
        return await self._ways[part].ask(part, method, asked)


# The web application of one replica of the ingress, from its parts and the names of their models.
MakeApp = Callable[["RunConfig", Any, Mapping[str, str]], "FastAPI"]


class PartsIngress(EndingIngress):
    """The web application, made in each replica from its handles. What another replica would miss
    is in the store."""

    def __init__(
        self,
        config: RunConfig,
        make_app: MakeApp,
        kind: type[AskedParts],
        handles: Mapping[str, DeploymentHandle],
    ) -> None:
        self._config = config
        self._make_app = make_app
        self._parts = kind({part: ByHandle(handle) for part, handle in handles.items()})
        self._traffic = Traffic()

    async def __serve_build_asgi_app__(self) -> FastAPI:
        names = await self._parts.names()
        app = await asyncio.to_thread(self._make_app, self._config, self._parts, names)
        self._traffic = app.state.traffic
        return app


PartsIngressDeployment = serve.ingress()(PartsIngress)


@dataclass(frozen=True, slots=True)
class PartsGraph:
    """Binds the deployments of a configuration. `build` loads parts in a replica. `scales`: of each
    part's own deployment, or under `WHOLE` that of all in one. `version`: as `Graph` has it."""

    config: RunConfig
    build: BuildParts
    parts: tuple[str, ...]
    scales: Mapping[str, ScaleConfig]
    version: str = ""

    def application(self, make_app: MakeApp, kind: type[AskedParts]) -> Application:
        """All deployments, bound; `make_app` is given one of `kind`."""
        ingress = self._deployment(PartsIngressDeployment, "ingress", self.config.serving.ingress)
        return ingress.options(max_ongoing_requests=INGRESS_ONGOING).bind(
            self.config, make_app, kind, self._bound()
        )

    def _bound(self) -> dict[str, Application]:
        if WHOLE in self.scales:
            return dict.fromkeys(self.parts, self._held(WHOLE, self.parts))
        return {part: self._held(part, (part,)) for part in self.parts}

    def _held(self, name: str, wanted: tuple[str, ...]) -> Application:
        scale = self.scales[name]
        deployment = self._deployment(PartsReplica, name, scale)
        bound: Application = deployment.bind(self.config, scale, self.build, wanted)
        return bound

    def _deployment(self, kind: type, name: str, scale: ScaleConfig) -> Any:
        options = deployment_options(self.config, scale, self.version)
        return serve.deployment(kind).options(name=name, **options)


async def _asked(held: Held, part: str, method: str, asked: tuple[Any, ...]) -> Any:
    there = held.parts.get(part)
    if there is None:
        raise ServiceError(f"this deployment does not hold {part}")
    return await getattr(there, method)(*asked)
