"""`persona-ray screening`: unknown calls, and what screening them needs."""

from __future__ import annotations

import typer

from persona_ray.cli import screening_sets, screening_talk, screening_train

app = typer.Typer(
    no_args_is_help=True,
    help="Screening of unknown calls: the dialogue robot, its dialogue set, the category model.",
)
app.command("talk")(screening_talk.talk)
app.command("train")(screening_train.train)
app.add_typer(screening_sets.app, name="sets")
