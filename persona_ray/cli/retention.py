"""`persona-ray retention`: what is kept for how long, and the end of what was kept for its time."""

from __future__ import annotations

from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read

app = typer.Typer(
    no_args_is_help=True, help="How long what is kept; delete what was kept for its time."
)


@app.command()
def apply(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing: say what would go.")
    ] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Delete what is older than the configuration keeps it, with what was made of it.

    A running service does it once a day; this is for installations without one, and for cron.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from persona_ray.apps.privacy.retention import apply_retention
    from persona_ray.apps.privacy.terms import in_words
    from persona_ray.progress import RichProgress
    from persona_ray.store.audit import actor_here

    run = read(config, overrides)
    found = apply_retention(run, actor_here(), RichProgress(), dry_run)
    heads = ("what", "kept", "by", "would go" if dry_run else "gone")
    table = Table(*(Column(name, overflow="fold") for name in heads))
    for one in found:
        table.add_row(one.what, in_words(one.days), one.key, str(one.over))
    Console().print(table)
