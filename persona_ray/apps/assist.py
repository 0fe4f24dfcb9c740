"""The service that assists agents in calls, as an application of Ray Serve: which parts it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from persona_ray.apps.arguments import configured
from persona_ray.apps.assist_models import AssistBundles, LoadModels, choose_bundles

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI
    from ray.serve import Application

    from persona_ray.config import RunConfig
    from persona_ray.serving.assist.models import AskedModels
    from persona_ray.serving.assist.services import AssistServices

_ABOUT = """\
Assistance of agents in calls: what was said and how, and the script that fits. Every answer that is
no success has the shape of `ErrorAnswer`: its `code` never changes its meaning, `field` names what
is wrong, `fix` says how to mend it. `trace_id` is that of the header `x-trace-id`, or of W3C's
`traceparent`, if the request had one. A call's sound comes over the WebSocket `/v1/assist/calls`;
`/v1/assist/devices` shows an agent what to say."""


def build(args: dict[str, Any]) -> Application:
    """Of Serve's application: `config` is a YAML file, `set` a list of KEY=VALUE."""
    config = configured(args, f"{__name__}:build")
    return build_for(config, choose_bundles(config))


def build_for(config: RunConfig, bundles: AssistBundles, version: str = "") -> Application:
    """The application of a configuration with these models. `version`: as `Graph` has it. Raises
    LibraryError, LexiconError, BundleError."""
    from persona_ray.serving.assist.models import assist_application

    # Here, and not in a replica that Serve would start again and again.
    check(config)
    # Replicas may run in another folder.
    config = config.model_copy(update={"workspace": config.workspace.absolute()})
    return assist_application(config, LoadModels(bundles), make_app, version)


def check(config: RunConfig) -> None:
    """Raises LibraryError, LexiconError where a file of the configuration is of no use, ConfigError
    where its webhook is no address."""
    from persona_ray.inference.assist.emotion.lexicon import load_lexicon
    from persona_ray.inference.assist.library import load_library
    from persona_ray.serving.signed_posts import check_url

    if config.assist.push.webhook:
        check_url(config.assist.push.webhook, "assist.push.webhook")
    load_library(config.assist.library, config.assist.steps)
    load_lexicon(config.assist.emotion.lexicon)


def routers(config: RunConfig) -> tuple[Callable[[AssistServices], APIRouter], ...]:
    """All routes, in the order in which they are looked through."""
    del config
    from persona_ray.serving.routes.assist_calls import assist_calls
    from persona_ray.serving.routes.assist_devices import assist_devices
    from persona_ray.serving.routes.assist_feedback import assist_feedback
    from persona_ray.serving.routes.assist_library import assist_library
    from persona_ray.serving.routes.assist_live import assist_live
    from persona_ray.serving.routes.assist_pages import assist_pages
    from persona_ray.serving.routes.health import health

    return (
        health,
        assist_live,
        assist_calls,
        assist_devices,
        assist_feedback,
        assist_library,
        assist_pages,
    )


def make_app(config: RunConfig, models: AskedModels, names: Mapping[str, str]) -> FastAPI:
    """The web application of one replica of the ingress. `names`: of the models, by part."""
    from persona_ray.apps.privacy.daily import begin_daily
    from persona_ray.audio.resample import resample
    from persona_ray.serving.application import build_app
    from persona_ray.serving.assist.models import EMOTION
    from persona_ray.serving.assist.scripts import Scripts
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.serving.metrics import INSTRUMENTS, Metrics
    from persona_ray.serving.service import ServedModel
    from persona_ray.store import open_audited
    from persona_ray.watch.on_ray import RayInstruments
    from persona_ray.watch.process import watch_service
    from persona_ray.watch.textfile import FOLDER

    watch_service(config.watching)
    begin_daily(config)
    store = open_audited(config)
    rate_hz = config.audio.sample_rate_hz
    # What converts sound takes seconds to load: not while a call waits for it.
    resample(_second(), 16_000, rate_hz)
    name, _, model = names[EMOTION].partition(" ")
    served = ServedModel(name, model, (), True, True, rate_hz)
    services = AssistServices(
        config,
        models,
        store,
        served,
        Scripts(config.assist, store.script_libraries),
        Metrics((RayInstruments(INSTRUMENTS),), jobs=config.workspace / FOLDER),
        names,
    )
    return build_app(services, routers(config), _ABOUT)


def _second() -> Any:
    import numpy as np

    return np.zeros(16_000, dtype=np.float32)
