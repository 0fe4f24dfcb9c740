"""`persona-ray serve`: the service on one machine, for as long as the command runs."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING

from persona_ray.apps.alias import (
    AliasFollower,
    RegistryVersions,
    RunDeployments,
    choose_challenger,
    follow,
)
from persona_ray.apps.bundles import choose_bundle, choose_category, may_be_refused
from persona_ray.apps.personality import build_for
from persona_ray.apps.screening import build_for as build_screening
from persona_ray.errors import ServiceError

if TYPE_CHECKING:
    from ray.serve import Application

    from persona_ray.config import RunConfig
    from persona_ray.serving.stages import BundleChoice

_ENDING = (signal.SIGINT, signal.SIGTERM)
# How long what was begun may take after that; Serve's replicas are given a minute.
_END_S = 75.0
# How long requests may take that were begun when the end was asked for.
_ANSWER_S = 60.0
_LOOK_EVERY_S = 0.1
_WAKE_S = 3600.0
_INGRESS = "ingress"


class App(StrEnum):
    """What is served; on Ray Serve the application has this name."""

    PERSONALITY = "personality"
    SCREENING = "screening"


def serve_here(
    config: RunConfig,
    say: Callable[[str], None],
    session: bool = False,
    app: App = App.PERSONALITY,
) -> None:
    """Serve on this machine, or on the cluster that launch.address names, until interrupted.

    `session`: make a key for it, and say it; for a person at a terminal, whose output no log keeps.
    Raises ServiceError where the port is taken or a deployment does not start, ConfigError where
    everything would be open to other machines, BundleError where there is nothing good to serve.
    """
    from persona_ray.launch.cluster import connect
    from persona_ray.serving.gate import check_open
    from persona_ray.serving.proxy import ENVIRONMENT

    check_open(config.serving)
    _check_port(config)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with ThreadPoolExecutor(1) as beside, contextlib.ExitStack() as cluster:
        # Reading the registry takes as long as starting Ray.
        screens = app is App.SCREENING
        choosing = beside.submit(choose_category if screens else choose_bundle, config)
        if screens or may_be_refused(config):
            choosing.result()
        if screens:
            _check_robot(config)
        cluster.enter_context(connect(config.launch))
        try:
            _start(config, app, choosing.result, say, session)
        finally:
            with _hushed():
                cluster.close()


def _check_robot(config: RunConfig) -> None:
    """What the robot lacks is told at once: Serve would start its replica again and again. Raises
    SynthesisError, ConfigError."""
    from persona_ray.inference.screening.mouth import build_mouth
    from persona_ray.inference.screening.robot import build_lines

    screening = config.screening
    build_lines(screening.dialogue, screening.policy.categories)
    if screening.dialogue.enabled and not config.launch.address:
        build_mouth(screening.dialogue)


def _start(
    config: RunConfig,
    app: App,
    choose: Callable[[], BundleChoice],
    say: Callable[[str], None],
    session: bool,
) -> None:
    import logging

    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    http = {"host": config.serving.host, "port": config.serving.port}
    with _ended_in_time(), _interrupted_by_signals(), contextlib.ExitStack() as run:
        try:
            serve.start(proxy_location="HeadOnly", http_options=http)
            wait = (_personality if app is App.PERSONALITY else _screening)(config, choose(), say)
            host = f"[{config.serving.host}]" if ":" in config.serving.host else config.serving.host
            address = f"http://{host}:{config.serving.port}"
            say(f"listening on {address} (Ctrl-C ends it)")
            token = run.enter_context(_session_token(config)) if session else ""
            for line in _invitation(config, app, address, token):
                say(line)
            wait()
        except KeyboardInterrupt:
            say("ending: what was begun is answered first (Ctrl-C again: it is not)")
            with contextlib.suppress(KeyboardInterrupt):
                _answer_what_was_begun(app)


def _personality(
    config: RunConfig, champion: BundleChoice, say: Callable[[str], None]
) -> Callable[[], None]:
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


def _screening(
    config: RunConfig, category: BundleChoice, say: Callable[[str], None]
) -> Callable[[], None]:
    """As `_personality`, of the screening application."""
    say(f"loading {category.name} {category.version} ({category.reference})")
    with _starting():
        _run(build_screening(config, category), App.SCREENING)
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


def _answer_what_was_begun(app: App) -> None:
    """Serve's own shutdown ends the proxy first, and with it every connection."""
    from ray import serve
    from ray.exceptions import RayError

    until = time.monotonic() + _ANSWER_S
    try:
        ingress = serve.get_app_handle(app)
        while time.monotonic() < until:
            deployment = serve.status().applications[app].deployments[_INGRESS]
            running = deployment.replica_states.get("RUNNING", 0)
            # Which replica answers is chance: asked often enough, all have.
            asked = [ingress.end.remote() for _ in range(running if running < 2 else 4 * running)]
            left = dict(answer.result(timeout_s=_ANSWER_S) for answer in asked)
            if len(left) >= running and not any(left.values()):
                return
            time.sleep(_LOOK_EVERY_S)
    except (RayError, RuntimeError, KeyError, TimeoutError):
        # It did not come up, or is gone.
        return


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Being asked to end is Ctrl-C, however it is asked."""
    former = {number: signal.signal(number, _interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _ended_in_time() -> Iterator[None]:
    """Serve is shut down at the end; where it cannot be, this process ends all the same."""
    from ray import serve

    try:
        yield
    finally:
        # Where the cluster went before this process, nobody answers any more.
        late = threading.Timer(_END_S, os._exit, (1,))
        late.daemon = True
        late.start()
        with _hushed():
            serve.shutdown()
        late.cancel()


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
        scopes = {
            App.PERSONALITY: "NAME --scope recognise",
            App.SCREENING: "USER --scope screen --scope screening",
        }
        return [f"requests need a key: persona-ray keys create {scopes[app]}"]
    asked = f"curl -H 'Authorization: Bearer {token}' {address}/v1/... (a key for this run)"
    return [f"open {address}/#key={token}", f"or: {asked}"]


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Ray tells of each of its actors that ends, on either stream."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


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
