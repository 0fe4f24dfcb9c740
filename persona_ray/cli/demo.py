"""`persona-ray demo`: applications on what is shipped, from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import Overrides

if TYPE_CHECKING:
    from persona_ray.evaluation.report.screened import ScreenedPage

_WIDTH = 150

app = typer.Typer(no_args_is_help=True, help="Applications on what is shipped, from end to end.")


@app.callback()
def _root() -> None:
    """A group, also while it has one command."""


@app.command()
def screening(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Its own folder: model, store, page.")
    ] = Path("runs/demo-screening"),
    calls: Annotated[
        Path, typer.Option(help="Folder with calls.yaml and the callers' sound.")
    ] = Path("demo/calls"),
    overrides: Overrides = None,
) -> None:
    """Screen fifteen calls: frauds, sales, a delivery, a friend, known voices on new numbers.

    Trains a small category model at the first run, starts the service in this process, makes the
    calls over its WebSocket with sound, a few at a time, as they would last. Prints what the user
    is told and writes OUT/report.html; exit code 1 where a call goes otherwise than expected.
    """
    from persona_ray.apps.screening_demo import check, run_demo
    from persona_ray.progress import RichProgress

    result = run_demo(out, calls, overrides or (), RichProgress())
    print_calls(result.page)
    typer.echo(f"page: {result.path}")
    serve = f"persona-ray serve --app screening --set workspace={out}"
    typer.echo(f"the service with these calls, of the user '{result.user}': {serve}")
    check(result)


def print_calls(page: ScreenedPage) -> None:
    """The calls as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        # A file or pipe has no width that could be meant.
        console = Console(width=_WIDTH)
    table = Table(show_lines=True)
    for name in ("who called", "what the system did", "category", "s", "what the user was told"):
        table.add_column(name, no_wrap=name in ("category", "s"))
    for row in page.rows:
        did = row.outcome + "".join(f"\nEXPECTED: {one}" for one in row.wrong)
        decided = "" if row.decided_s is None else f"{row.decided_s:.1f}"
        told = "\n".join(row.told)
        table.add_row(row.about, did, f"{row.category}\n{row.standing}".strip(), decided, told)
    console.print(table)
    for note in page.notes:
        console.print(note, markup=False)
