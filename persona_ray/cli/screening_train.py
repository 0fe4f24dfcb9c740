"""`persona-ray screening train`: the category model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Fresh, Overrides, Promote, read


def train(
    dialogues: Annotated[
        list[Path] | None,
        typer.Option(
            "--dialogues",
            "-d",
            help="Labelled dialogues (JSON lines: id, category, turns); may be given many times.",
        ),
    ] = None,
    fresh: Fresh = False,
    promote: Promote = False,
    baseline: Annotated[
        bool,
        typer.Option("--baseline/--no-baseline", help="TF-IDF with logistic regression beside it."),
    ] = True,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Train the category model on dialogues, judge it turn by turn on those held out.

    Writes category/bundle and category/report.html to the workspace, and registers the bundle as
    `screening.category.name`. The first version becomes champion, a later one where it is better
    than the champion on the dialogues held out, beyond noise.
    """
    from persona_ray.launch.category import train_category, with_dialogues
    from persona_ray.progress import RichProgress

    settings = with_dialogues(read(config, overrides), dialogues or ())
    typer.echo(
        str(
            train_category(
                settings, RichProgress(), fresh=fresh, promote=promote, baseline=baseline
            )
        )
    )
