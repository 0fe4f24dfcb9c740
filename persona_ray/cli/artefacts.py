"""`persona-ray artefacts`: copies of finished work in a folder or bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from persona_ray.cli.options import ConfigPath, Overrides, read

if TYPE_CHECKING:
    from persona_ray.launch.storage.artefacts import Artefacts, Part

app = typer.Typer(
    no_args_is_help=True,
    help="Finished work copied to `storage.artefacts`, and back into an empty workspace.",
)

Names = Annotated[
    list[str] | None, typer.Argument(help="Parts: corpus, encoders, bundle ...; none: all.")
]


@app.command()
def push(names: Names = None, config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Copy what the workspace holds; jobs do this by themselves after each step.

    Files that are there already are not sent again. What a part no longer names is removed.
    """
    _show(_open(config, overrides).push(names or ()), "copied")


@app.command()
def pull(names: Names = None, config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Bring what the workspace lacks into it; nothing in it is replaced.

    Jobs do this by themselves before they begin.
    """
    _show(_open(config, overrides).pull(names or ()), "fetched")


@app.command("list")
def list_parts(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """The parts that are there, and whether the workspace has them."""
    artefacts = _open(config, overrides)
    _show(artefacts.pushed(), "there", artefacts)


def _open(config: ConfigPath, overrides: Overrides) -> Artefacts:
    from persona_ray.launch.storage.artefacts import Artefacts
    from persona_ray.progress import RichProgress

    return Artefacts(read(config, overrides), RichProgress())


def _show(parts: list[Part], done: str, beside: Artefacts | None = None) -> None:
    console = Console()
    if not parts:
        console.print(f"nothing {done}")
        return
    table = Table(done, "files", "MB", "copied at", *(("workspace",) if beside else ()))
    for part in parts:
        here = ("has it" if beside.holds(part.name) else "lacks it",) if beside else ()
        at = f"{part.pushed_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(part.name, f"{len(part.files):,}", f"{part.size_bytes / 1e6:,.1f}", at, *here)
    console.print(table)
