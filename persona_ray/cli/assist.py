"""`persona-ray assist`: what an assisted call needs, and what is learned from it."""

from __future__ import annotations

import typer

from persona_ray.cli import assist_library

app = typer.Typer(
    no_args_is_help=True,
    help="Assisting agents: scripts, the models that choose them, learning from feedback.",
)
app.add_typer(assist_library.app, name="library")
