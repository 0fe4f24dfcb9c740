"""`persona-ray sweep`: the best values of a few settings."""

from __future__ import annotations

from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Fresh, Overrides, read


def sweep(
    config: ConfigPath = None,
    overrides: Overrides = None,
    fresh: Fresh = False,
    final: Annotated[
        bool, typer.Option("--final", help="Fine-tune with the best and write its bundle.")
    ] = False,
) -> None:
    """Fine-tune with many combinations of a few settings, and say which did best.

    By default freeze thresholds by decay rates; `sweep.space` names others. Leaves a table, a page
    with a heat map and `best.yaml` (for `finetune --config`) in `sweep/` of the workspace. An
    interrupted sweep goes on: what has ended is not trained again.
    """
    from persona_ray.cli.tables import print_sweep
    from persona_ray.launch.sweep.job import sweep as run
    from persona_ray.progress import RichProgress

    result = run(read(config, overrides), RichProgress(), fresh=fresh, final=final)
    print_sweep(result)
    typer.echo(str(result))
