"""`persona-ray screening`: unknown calls, and what screening them needs."""

from __future__ import annotations

import typer

from persona_ray.cli import screening_forget, screening_sets, screening_talk, screening_train

app = typer.Typer(
    no_args_is_help=True,
    help="Screening of unknown calls: the dialogue robot, the category model, what is kept.",
)
app.command("talk")(screening_talk.talk)
app.command("train")(screening_train.train)
app.command("forget")(screening_forget.forget)
app.add_typer(screening_sets.app, name="sets")
