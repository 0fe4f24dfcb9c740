"""The service that tells a caller's colour: `serve run serve_configs/personality.yaml`, or
`persona-ray serve`."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.apps.alias import (
    AliasFollower,
    RegistryVersions,
    RunDeployments,
    alias_node,
    choose_challenger,
    follow,
)
from persona_ray.apps.bundles import choose_bundle, find_bundle
from persona_ray.apps.evaluated import last_evaluation
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError, ServiceError
from persona_ray.models.manifest import read_contract
from persona_ray.types import Modality

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

    from persona_ray.serving.application import BuildRouter
    from persona_ray.serving.graph import Served
    from persona_ray.serving.service import PersonalityService
    from persona_ray.serving.stages import BundleChoice

NAME = "personality"
_ENDING = (signal.SIGINT, signal.SIGTERM)
# How long what was begun may take after that; Serve's replicas are given a minute.
_END_S = 75.0
_ARGS = ("config", "set")


def build(args: dict[str, Any]) -> Application:
    """Of Serve's application: `config` is a YAML file, `set` a list of KEY=VALUE."""
    unknown = sorted(set(args) - set(_ARGS))
    if unknown:
        raise ConfigError(
            f"args of {__name__}:build: unknown key '{unknown[0]}': there are {', '.join(_ARGS)}"
        )
    path = args.get("config")
    config = load_config(Path(path) if path else None, args.get("set") or ())
    if not config.serving.keys.required:
        raise ConfigError(
            "serving.keys.required=false is for `persona-ray serve` on one machine: who reaches a "
            "cluster's proxies is not known here; leave keys required"
        )
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
    sees to it that they are what their aliases name. `version`: as `application` has it."""
    from persona_ray.serving.graph import application

    # Replicas may run in another folder.
    config = config.model_copy(update={"workspace": config.workspace.absolute()})
    return application(
        config,
        _served(config, champion),
        None if challenger is None else _served(config, challenger),
        find_bundle,
        make_app,
        alias_node(config) if followed else None,
        version,
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
    from persona_ray.serving.application import Services, build_app
    from persona_ray.serving.logs import configure_logs
    from persona_ray.serving.metrics import Metrics, RayInstruments
    from persona_ray.serving.rollout.service import RolloutService
    from persona_ray.store import open_store

    configure_logs()
    metrics = Metrics((RayInstruments(),), last_evaluation(config))
    store, personality = open_store(config.store_url), champion
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


def serve_here(config: RunConfig, say: Callable[[str], None], session: bool = False) -> None:
    """Serve on this machine, or on the cluster that launch.address names, until interrupted.

    `session`: make a key for it, and say it; for a person at a terminal, whose output no log keeps.
    Raises ServiceError where the port is taken or a deployment does not start, ConfigError where
    everything would be open to other machines.
    """
    from persona_ray.launch.cluster import connect
    from persona_ray.serving.gate import check_open
    from persona_ray.serving.proxy import ENVIRONMENT

    check_open(config.serving)
    _check_port(config)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with ThreadPoolExecutor(1) as beside:
        # Reading the registry takes as long as starting Ray.
        choosing = beside.submit(choose_bundle, config)
        with connect(config.launch):
            _start(config, choosing.result, say, session)


def _start(
    config: RunConfig,
    choose: Callable[[], BundleChoice],
    say: Callable[[str], None],
    session: bool,
) -> None:
    import logging

    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    http = {"host": config.serving.host, "port": config.serving.port}
    former = {number: signal.signal(number, _interrupt) for number in _ENDING}
    try:
        serve.start(proxy_location="HeadOnly", http_options=http)
        choice = choose()
        challenger = choose_challenger(config, choice)
        say(f"loading {choice.name} {choice.version} ({choice.reference})")
        # The same for every run of this process: only what a deployment is told anew changes.
        version = uuid.uuid4().hex

        def run(champion: BundleChoice, beside: BundleChoice | None) -> None:
            serve.run(
                build_for(config, champion, beside, version=version),
                name=NAME,
                logging_config={"enable_access_log": False},
            )

        try:
            run(choice, challenger)
        except RuntimeError as error:
            raise ServiceError(
                f"the deployments did not start: {_last_line(error)}; Ray's logs of this session "
                "(/tmp/ray/session_latest/logs/serve) say more"
            ) from None
        host = f"[{http['host']}]" if ":" in config.serving.host else config.serving.host
        address = f"http://{host}:{config.serving.port}"
        say(f"listening on {address} (Ctrl-C ends it)")
        for line in _invitation(config, address, session):
            say(line)
        deployments = RunDeployments(choice, challenger, run)
        follower = AliasFollower(config, RegistryVersions(config), deployments)
        poll_s = config.serving.rollout.poll_s if follower.follows else None
        follow(follower, poll_s, threading.Event())
    except KeyboardInterrupt:
        say("ending: what was begun is answered first")
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        # Where the cluster went before this process, nobody answers any more.
        late = threading.Timer(_END_S, os._exit, (1,))
        late.daemon = True
        late.start()
        # Ray tells of each of its actors that ends here.
        with contextlib.redirect_stderr(io.StringIO()):
            serve.shutdown()
        late.cancel()


def _invitation(config: RunConfig, address: str, session: bool) -> list[str]:
    """How to ask: with the session's key, where there is one."""
    from persona_ray.serving.gate import is_loopback, session_key
    from persona_ray.store import open_store

    if not config.serving.keys.required:
        return ["no key is needed on this machine; nobody else is answered"]
    if not session or not is_loopback(config.serving.host):
        return ["requests need a key: persona-ray keys create NAME --scope recognise"]
    with open_store(config.store_url) as store:
        token = session_key(store)
    return [
        f"open {address}/#key={token}",
        f"or: curl -H 'Authorization: Bearer {token}' {address}/v1/... (a key for this session)",
    ]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _served(config: RunConfig, choice: BundleChoice) -> Served:
    from persona_ray.serving.graph import Served

    modality = read_contract(find_bundle(config, choice)).modality
    return Served(choice, modality is not Modality.TEXT, modality is not Modality.SPEECH)


def _check_port(config: RunConfig) -> None:
    host, port = config.serving.host, config.serving.port
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise ServiceError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}): name another, "
            f"--set serving.port={port + 1 if port < 65535 else port - 1}"
        ) from None


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
