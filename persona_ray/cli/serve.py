"""`persona-ray serve`: the service on this machine."""

from __future__ import annotations

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read


def serve(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Recognise over HTTP and WebSocket, with the registry's champion.

    Where nothing is registered it is the workspace's bundle; `--set serving.bundle=...` names
    another. It listens on serving.host and serving.port until Ctrl-C. On a Ray cluster: `serve
    deploy serve_configs/personality.yaml`.
    """
    from persona_ray.apps.personality import serve_here

    serve_here(read(config, overrides), typer.echo)
