"""`persona-ray assist retrain`: the ranker learns from feedback."""

from __future__ import annotations

from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read


def retrain(
    if_due: Annotated[
        bool,
        typer.Option(
            "--if-due",
            help="Only with as many new samples or after as many days as assist.retraining says.",
        ),
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="End a retraining that another machine left unfinished."),
    ] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Train the ranker anew on conversations and all feedback that counts; release it where it does
    better.

    It is judged by pushes to customers held out, whom neither it nor the champion has learnt from:
    what both would have earned of accepted scripts and of the customers' mood. Writes
    ranker/retraining/report.html to the workspace and registers a version of `assist.ranker.name`:
    champion where it is better beyond noise and does no harm, else challenger.
    """
    from persona_ray.launch.assist.retrain import retrain as run
    from persona_ray.progress import RichProgress

    settings = read(config, overrides)
    typer.echo(str(run(settings, RichProgress(), if_due=if_due, fresh=fresh)))
