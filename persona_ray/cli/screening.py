"""`persona-ray screening`: unknown calls, and what screening them needs."""

from __future__ import annotations

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Screening of unknown calls: the dialogue robot, its dialogue set, the category model.",
)
