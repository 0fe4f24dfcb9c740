"""`persona-ray doctor`: is everything there that the work needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from persona_ray.cli.options import ConfigPath, Overrides, read

if TYPE_CHECKING:
    from persona_ray.launch.doctor.finding import Finding

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "not applicable": "dim"}


def doctor(
    config: ConfigPath = None,
    overrides: Overrides = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="This check alone; may be given many times."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds that a check may take.")
    ] = 20.0,
) -> None:
    """Check what the work needs, and say what to do where it is not well.

    Python and packages, disk, GPUs, the Ray cluster and its nodes, a real all-reduce over them,
    storage, database, registry, models, tokens, keys, clocks, certificate. Nothing is changed. Each
    check is ok, warning, failed or not applicable; the command ends with 1 where one failed. As a
    job of the cluster: `ray job submit --working-dir . -- python jobs/doctor.py`.
    """
    from persona_ray.launch.doctor.examine import examine

    found = examine(read(config, overrides), only or (), timeout)
    if tell_findings(found, as_json):
        raise typer.Exit(1)


def tell_findings(found: Sequence[Finding], as_json: bool, console: Console | None = None) -> bool:
    """Print what was found; whether something failed."""
    if as_json:
        typer.echo(json.dumps([one.to_dict() for one in found], ensure_ascii=False, indent=1))
    else:
        table = Table("check", "", "what is there, and what to do")
        for one in found:
            told = Text(one.said)
            if one.fix:
                told.append(f"\n-> {one.fix}", style="bold")
            table.add_row(one.check, Text(one.outcome, style=_STYLES[one.outcome]), told)
        (console or Console()).print(table)
    return any(one.outcome == "failed" for one in found)
