"""The service that tells a caller's colour, as an application of Ray Serve: which parts it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from persona_ray.apps.alias import alias_node, choose_challenger
from persona_ray.apps.arguments import configured
from persona_ray.apps.bundles import choose_bundle, find_bundle
from persona_ray.config import RunConfig
from persona_ray.launch.evaluated import references
from persona_ray.models.manifest import read_contract
from persona_ray.types import Modality

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

    from persona_ray.serving.application import BuildRouter
    from persona_ray.serving.deploy.graph import Served
    from persona_ray.serving.deploy.stages import BundleChoice
    from persona_ray.serving.service import PersonalityService


def build(args: dict[str, Any]) -> Application:
    """Of Serve's application: `config` is a YAML file, `set` a list of KEY=VALUE."""
    config = configured(args, f"{__name__}:build")
    champion = choose_bundle(config)
    return build_for(config, champion, choose_challenger(config, champion), followed=True)


def build_for(
    config: RunConfig,
    champion: BundleChoice,
    challenger: BundleChoice | None = None,
    followed: bool = False,
    version: str = "",
) -> Application:
    """The application of a configuration with these bundles. `followed`: a deployment of its own
    sees to it that they are what their aliases name. `version`: as `Graph` has it."""
    from persona_ray.serving.deploy.graph import Graph

    # Replicas may run in another folder.
    config = config.model_copy(update={"workspace": config.workspace.absolute()})
    return Graph(config, find_bundle, version).application(
        _served(config, champion),
        None if challenger is None else _served(config, challenger),
        make_app,
        alias_node(config) if followed else None,
    )


def routers(config: RunConfig) -> tuple[BuildRouter, ...]:
    """All routes, in the order in which they are looked through."""
    from persona_ray.apps.models_desk import RegistryDesk
    from persona_ray.serving.routes.annotate import annotate
    from persona_ray.serving.routes.health import health
    from persona_ray.serving.routes.jobs import jobs
    from persona_ray.serving.routes.live import live_calls
    from persona_ray.serving.routes.models import models
    from persona_ray.serving.routes.pages import pages
    from persona_ray.serving.routes.recognitions import recognitions
    from persona_ray.serving.routes.rollout import rollout

    registry = models(RegistryDesk(config))
    return (health, recognitions, live_calls, jobs, rollout, pages, annotate, registry)


def make_app(
    config: RunConfig, champion: PersonalityService, challenger: PersonalityService | None
) -> FastAPI:
    """The web application of one replica of the ingress."""
    from persona_ray.apps.privacy.daily import begin_daily
    from persona_ray.serving.application import Services, build_app
    from persona_ray.serving.metrics import INSTRUMENTS, Metrics
    from persona_ray.serving.rollout.service import RolloutService
    from persona_ray.store import open_audited
    from persona_ray.watch.on_ray import RayInstruments
    from persona_ray.watch.process import watch_service
    from persona_ray.watch.textfile import FOLDER

    watch_service(config.watching)
    begin_daily(config)
    metrics = Metrics(
        (RayInstruments(INSTRUMENTS),),
        lambda digest: references(config, digest).kinds,
        config.workspace / FOLDER,
    )
    store, personality = open_audited(config), champion
    if challenger is not None:
        serving = config.serving
        personality = RolloutService(
            champion,
            challenger,
            store.rollouts,
            serving.rollout,
            serving.limits.request_timeout_s,
            count=metrics.rollout,
        )
    return build_app(Services(config, personality, store, metrics), routers(config))


def _served(config: RunConfig, choice: BundleChoice) -> Served:
    from persona_ray.serving.deploy.graph import Served

    modality = read_contract(find_bundle(config, choice)).modality
    return Served(choice, modality is not Modality.TEXT, modality is not Modality.SPEECH)
