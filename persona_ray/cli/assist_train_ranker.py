"""`persona-ray assist train-ranker`: which script fits what was said and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, Promote, read


def train_ranker(
    conversations: Annotated[
        list[Path] | None,
        typer.Option(
            "--conversations",
            "-d",
            help="Conversations with what came of them (JSON lines); may be given many times.",
        ),
    ] = None,
    judged_by: Annotated[
        list[Path] | None,
        typer.Option("--judged-by", help="Conversations that nothing is learned from."),
    ] = None,
    promote: Promote = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Train the ranker of scripts on what agents answered and what came of it (`script`, `score`).

    It is judged on customers held out, beside BM25 and the same model without mood, sound and
    colour. Writes ranker/bundle and ranker/report.html to the workspace, and registers the bundle
    as `assist.ranker.name`: the first version becomes champion, a later one where it ranks better
    than the champion, beyond noise.
    """
    from persona_ray.launch.assist.ranker import train_ranker as train
    from persona_ray.launch.assist.ranker import with_conversations
    from persona_ray.progress import RichProgress

    settings = with_conversations(read(config, overrides), conversations or (), judged_by or ())
    typer.echo(str(train(settings, RichProgress(), promote=promote)))
