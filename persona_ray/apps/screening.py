"""The service that screens unknown calls, as an application of Ray Serve: which parts it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_ray.apps.arguments import configured
from persona_ray.apps.bundles import choose_category, find_bundle

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI
    from ray.serve import Application

    from persona_ray.config import RunConfig
    from persona_ray.serving.deploy.stages import BundleChoice
    from persona_ray.serving.screening.models import AskedModels, Models
    from persona_ray.serving.screening.services import ScreeningServices
    from persona_ray.store import Store

_ABOUT = """\
Screening of unknown calls: who gets through, what the others wanted. Every answer that is no
success has the shape of `ErrorAnswer`: its `code` never changes its meaning, `field` names what is
wrong, `fix` says how to mend it. `trace_id` is that of the header `x-trace-id`, or of W3C's
`traceparent`, if the request had one. Sound goes both ways over the WebSocket
`/v1/screening/calls`; `/v1/screening/notices` tells a user of his calls as they end."""


def build(args: dict[str, Any]) -> Application:
    """Of Serve's application: `config` is a YAML file, `set` a list of KEY=VALUE."""
    config = configured(args, f"{__name__}:build")
    return build_for(config, choose_category(config))


def build_for(config: RunConfig, category: BundleChoice, version: str = "") -> Application:
    """The application of a configuration with this category model. `version`: as `Graph` has
    it. Raises ConfigError, BundleError."""
    from persona_ray.inference.screening.categories import policy_names
    from persona_ray.models.manifest import read_contract
    from persona_ray.serving.screening.models import screening_application
    from persona_ray.serving.screening.webhooks import check_urls

    check_urls(config.screening)
    # Here, and not in a replica that Serve would start again and again.
    labels = read_contract(find_bundle(config, category)).labels
    policy_names(labels, config.screening.policy)
    # Replicas may run in another folder.
    config = config.model_copy(update={"workspace": config.workspace.absolute()})
    return screening_application(config, LoadModels(category), make_app, version)


@dataclass(frozen=True, slots=True)
class LoadModels:
    """Loads models in a replica; `category` is the same bundle in all of them."""

    category: BundleChoice

    def __call__(self, config: RunConfig, wanted: Collection[str]) -> Models:
        """Raises EngineUnavailableError, BundleError, SynthesisError, ConfigError."""
        from persona_ray.apps.screening_models import load_models

        return load_models(config, wanted, find_bundle(config, self.category), self.category)


def routers(config: RunConfig) -> tuple[Callable[[ScreeningServices], APIRouter], ...]:
    """All routes, in the order in which they are looked through."""
    del config
    from persona_ray.serving.routes.health import health
    from persona_ray.serving.routes.screening_calls import screening_calls
    from persona_ray.serving.routes.screening_files import screening_files
    from persona_ray.serving.routes.screening_forget import screening_forget
    from persona_ray.serving.routes.screening_libraries import screening_libraries
    from persona_ray.serving.routes.screening_live import screening_live
    from persona_ray.serving.routes.screening_numbers import screening_numbers
    from persona_ray.serving.routes.screening_pages import screening_pages
    from persona_ray.serving.routes.screening_reports import screening_reports
    from persona_ray.serving.routes.screening_sets import screening_sets
    from persona_ray.serving.routes.screening_wishes import screening_wishes

    return (
        health,
        screening_live,
        screening_calls,
        screening_wishes,
        screening_files,
        screening_sets,
        screening_numbers,
        screening_libraries,
        screening_forget,
        screening_reports,
        screening_pages,
    )


def make_app(config: RunConfig, models: AskedModels, names: Mapping[str, str]) -> FastAPI:
    """The web application of one replica of the ingress. `names`: of the models, by part."""
    from persona_ray.apps.privacy.daily import begin_daily
    from persona_ray.apps.screening_consequences import StoredConsequences
    from persona_ray.audio.resample import resample
    from persona_ray.inference.screening.robot import build_lines
    from persona_ray.inference.screening.sources import StoredSources
    from persona_ray.serving.application import build_app
    from persona_ray.serving.metrics import INSTRUMENTS, Metrics
    from persona_ray.serving.screening.models import CATEGORIES
    from persona_ray.serving.screening.services import Parts, ScreeningServices
    from persona_ray.serving.service import ServedModel
    from persona_ray.store import open_audited
    from persona_ray.watch.on_ray import RayInstruments
    from persona_ray.watch.process import watch_service
    from persona_ray.watch.textfile import FOLDER

    watch_service(config.watching)
    begin_daily(config)
    screening, store = config.screening, open_audited(config)
    check_vault(config, store)
    # What converts the robot's sound takes seconds to load: not while a call waits for it.
    resample(_second(), 16_000, config.audio.sample_rate_hz)
    parts = Parts(
        sources=StoredSources(store, screening),
        voices=models,
        ears=models,
        categories=models,
        robot=models,
        lines=build_lines(screening.dialogue, screening.policy.categories),
        mouth=models,
    )
    name, _, version = names[CATEGORIES].partition(" ")
    rate_hz = config.audio.sample_rate_hz
    served = ServedModel(name, version, tuple(screening.policy.categories), False, True, rate_hz)
    services = ScreeningServices(
        config,
        parts,
        store,
        served,
        Metrics((RayInstruments(INSTRUMENTS),), jobs=config.workspace / FOLDER),
        StoredConsequences(store, screening, models),
        {part: one for part, one in names.items() if part != CATEGORIES},
    )
    return build_app(services, routers(config), _ABOUT)


def check_vault(config: RunConfig, store: Store) -> None:
    """Raises VaultError, ConfigError where a key is missing: rather than to take listed voices for
    absent, or to fail with the first call."""
    from persona_ray.vault.seal import vault_of

    store.sealed_prints.require_keys()
    vault_of(config).ready()


def _second() -> Any:
    import numpy as np

    return np.zeros(16_000, dtype=np.float32)
