"""`persona-ray serve`: the service on this machine."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read


def serve(
    config: ConfigPath = None,
    overrides: Overrides = None,
    session_key: Annotated[
        bool | None,
        typer.Option(
            "--session-key/--no-session-key",
            help="Make a key for this run and print it; default: at a terminal, where "
            "serving.host is this machine alone.",
        ),
    ] = None,
    app: Annotated[
        Literal["personality", "screening", "assist"],
        typer.Option(
            help="personality: callers' colours; screening: unknown calls; assist: what an agent "
            "may say next."
        ),
    ] = "personality",
) -> None:
    """Recognise over HTTP and WebSocket, with the registry's champion.

    Where nothing is registered it is the workspace's bundle; `--set serving.bundle=...` names
    another. It listens on serving.host and serving.port until Ctrl-C. Requests need a key: at a
    terminal one is made for this run and printed with the address of the pages; others are made
    by `persona-ray keys create`. On a Ray cluster: `serve deploy serve_configs/personality.yaml`.

    `--app screening` answers unknown calls, with the champion of the category models or that of
    `--set screening.bundle=...`. On a Ray cluster: `serve deploy serve_configs/screening.yaml`.

    `--app assist` puts scripts before agents in calls, by the champions of the emotion model and
    of the ranker where there are any. On a Ray cluster: `serve deploy serve_configs/assist.yaml`.
    """
    from persona_ray.apps.here import App, serve_here

    session = sys.stdout.isatty() if session_key is None else session_key
    serve_here(read(config, overrides), typer.echo, session, App(app))
