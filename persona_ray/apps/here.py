"""`persona-ray serve`: the service on one machine, for as long as the command runs."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from persona_ray.apps.alias import (
    AliasFollower,
    RegistryVersions,
    RunDeployments,
    choose_challenger,
    follow,
)
from persona_ray.apps.assist import build_for as build_assist
from persona_ray.apps.assist import check as check_assist
from persona_ray.apps.assist_models import choose_bundles
from persona_ray.apps.bundles import choose_bundle, choose_category, may_be_refused
from persona_ray.apps.lifetime import (
    answer_what_was_begun,
    ended_in_time,
    hushed,
    interrupted_by_signals,
)
from persona_ray.apps.personality import build_for
from persona_ray.apps.screening import build_for as build_screening
from persona_ray.apps.screening import check_vault
from persona_ray.errors import ServiceError

if TYPE_CHECKING:
    from ray.serve import Application

    from persona_ray.apps.assist_models import AssistBundles
    from persona_ray.config import RunConfig
    from persona_ray.serving.deploy.stages import BundleChoice

_WAKE_S = 3600.0
Say = Callable[[str], None]


class App(StrEnum):
    """What is served; on Ray Serve the application has this name."""

    PERSONALITY = "personality"
    SCREENING = "screening"
    ASSIST = "assist"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What it takes to serve an application here.

    `choose` finds its bundles; `chosen_first`: whether that may be refused, so that it is waited
    for before a cluster starts. `check` raises what replicas would fail of again and again. `start`
    runs it, and gives what to do while it runs. `key`: what a key for it is made with.
    """

    choose: Callable[[RunConfig], Any]
    chosen_first: Callable[[RunConfig], bool]
    check: Callable[[RunConfig], None]
    start: Callable[[RunConfig, Any, Say], Callable[[], None]]
    key: str


def _plan(app: App) -> _Plan:
    match app:
        case App.PERSONALITY:
            return _Plan(
                choose=choose_bundle,
                chosen_first=may_be_refused,
                check=lambda _: None,
                start=_personality,
                key="NAME --scope recognise",
            )
        case App.SCREENING:
            return _Plan(
                choose=choose_category,
                chosen_first=lambda _: True,
                check=_check_screening,
                start=_screening,
                key="USER --scope screen --scope screening",
            )
        case App.ASSIST:
            return _Plan(
                choose=choose_bundles,
                chosen_first=lambda _: True,
                check=check_assist,
                start=_assist,
                key="AGENT --scope assist",
            )


def serve_here(
    config: RunConfig,
    say: Say,
    session: bool = False,
    app: App = App.PERSONALITY,
) -> None:
    """Serve on this machine, or on the cluster that launch.address names, until interrupted.

    `session`: make a key for it, and say it; for a person at a terminal, whose output no log keeps.
    Raises ServiceError where the port is taken or a deployment does not start, ConfigError where
    everything would be open to other machines, BundleError where there is nothing good to serve.
    """
    from persona_ray.launch.cluster import connect
    from persona_ray.serving.deploy.proxy import ENVIRONMENT
    from persona_ray.serving.gate import check_open
    from persona_ray.serving.tls import http_options

    check_open(config.serving)
    http_options(config.serving.tls)
    _check_port(config)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with ThreadPoolExecutor(1) as beside, contextlib.ExitStack() as cluster:
        # Reading the registry takes as long as starting Ray.
        plan = _plan(app)
        choosing = beside.submit(plan.choose, config)
        if plan.chosen_first(config):
            choosing.result()
        plan.check(config)
        cluster.enter_context(connect(config.launch))
        try:
            _start(config, app, choosing.result, say, session)
        finally:
            with hushed():
                cluster.close()


def _check_screening(config: RunConfig) -> None:
    """What the robot or the vault lacks is told at once: Serve would start its replica again and
    again. Raises SynthesisError, VaultError, ConfigError."""
    from persona_ray.inference.screening.mouth import build_mouth
    from persona_ray.inference.screening.robot import build_lines
    from persona_ray.store import open_audited

    screening = config.screening
    build_lines(screening.dialogue, screening.policy.categories)
    if config.launch.address:
        # Replicas have their own machines' programs and rings.
        return
    if screening.dialogue.enabled:
        build_mouth(screening.dialogue)
    with open_audited(config) as store:
        check_vault(config, store)


def _start(
    config: RunConfig,
    app: App,
    choose: Callable[[], Any],
    say: Say,
    session: bool,
) -> None:
    import logging

    from ray import serve

    from persona_ray.serving.gate import is_loopback
    from persona_ray.serving.tls import http_options

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    tls = http_options(config.serving.tls)
    http = {"host": config.serving.host, "port": config.serving.port, **tls}
    with ended_in_time(), interrupted_by_signals(), contextlib.ExitStack() as run:
        try:
            serve.start(proxy_location="HeadOnly", http_options=http)
            wait = _plan(app).start(config, choose(), say)
            host = f"[{config.serving.host}]" if ":" in config.serving.host else config.serving.host
            address = f"{'https' if tls else 'http'}://{host}:{config.serving.port}"
            say(f"listening on {address} (Ctrl-C ends it)")
            if not tls and not is_loopback(config.serving.host):
                say("keys and calls go over the network unsealed: serving.tls, or TLS before it")
            token = run.enter_context(_session_token(config)) if session else ""
            for line in _invitation(config, app, address, token):
                say(line)
            wait()
        except KeyboardInterrupt:
            say("ending: what was begun is answered first (Ctrl-C again: it is not)")
            with contextlib.suppress(KeyboardInterrupt):
                answer_what_was_begun(app)


def _personality(config: RunConfig, champion: BundleChoice, say: Say) -> Callable[[], None]:
    """The application, running; what to do while it does. Raises ServiceError."""
    challenger = choose_challenger(config, champion)
    say(f"loading {champion.name} {champion.version} ({champion.reference})")
    # The same for every run of this process: only what a deployment is told anew changes.
    version = uuid.uuid4().hex

    def run(first: BundleChoice, beside: BundleChoice | None) -> None:
        _run(build_for(config, first, beside, version=version), App.PERSONALITY)

    with _starting():
        run(champion, challenger)
    deployments = RunDeployments(champion, challenger, run)
    follower = AliasFollower(config, RegistryVersions(config), deployments)
    poll_s = config.serving.rollout.poll_s if follower.follows else None
    return lambda: follow(follower, poll_s, threading.Event())


def _screening(config: RunConfig, category: BundleChoice, say: Say) -> Callable[[], None]:
    """As `_personality`, of the screening application."""
    say(f"loading {category.name} {category.version} ({category.reference})")
    with _starting():
        _run(build_screening(config, category), App.SCREENING)
    return lambda: _wait(threading.Event())


def _assist(config: RunConfig, bundles: AssistBundles, say: Say) -> Callable[[], None]:
    """As `_personality`, of assistance."""
    say(f"loading {bundles}")
    with _starting():
        _run(build_assist(config, bundles), App.ASSIST)
    return lambda: _wait(threading.Event())


def _wait(ended: threading.Event) -> None:
    while not ended.wait(_WAKE_S):
        pass


def _run(application: Application, app: App) -> None:
    from ray import serve

    serve.run(application, name=app, logging_config={"enable_access_log": False})


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Raises ServiceError where a deployment does not start."""
    try:
        yield
    except RuntimeError as error:
        raise ServiceError(
            f"the deployments did not start: {_last_line(error)}; Ray's logs of this run "
            "(/tmp/ray/session_latest/logs/serve) say more"
        ) from None


@contextlib.contextmanager
def _session_token(config: RunConfig) -> Iterator[str]:
    """The token of this run's own key, until its end; empty where none is to be made."""
    from persona_ray.serving.gate import is_loopback, session_key
    from persona_ray.store import open_store

    if not config.serving.keys.required or not is_loopback(config.serving.host):
        yield ""
        return
    with open_store(config.store_url) as store, session_key(store) as token:
        yield token


def _invitation(config: RunConfig, app: App, address: str, token: str) -> list[str]:
    """How to ask: with the run's key, where there is one."""
    if not config.serving.keys.required:
        return ["no key is needed on this machine; nobody else is answered"]
    if not token:
        return [f"requests need a key: persona-ray keys create {_plan(app).key}"]
    asked = f"curl -H 'Authorization: Bearer {token}' {address}/v1/... (a key for this run)"
    return [f"open {address}/#key={token}", f"or: {asked}"]


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
