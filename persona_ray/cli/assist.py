"""`persona-ray assist`: what an assisted call needs, and what is learned from it."""

from __future__ import annotations

import typer

from persona_ray.cli import (
    assist_emotion,
    assist_forget,
    assist_hear,
    assist_library,
    assist_retrain,
    assist_train_ranker,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Assisting agents: scripts, the models that choose them, learning from feedback.",
)
app.command("hear")(assist_hear.hear)
app.add_typer(assist_library.app, name="library")
app.command("train-ranker")(assist_train_ranker.train_ranker)
app.command("retrain")(assist_retrain.retrain)
app.command("train-emotion")(assist_emotion.train_emotion)
app.add_typer(assist_emotion.app, name="lexicon")
app.command("forget")(assist_forget.forget)
