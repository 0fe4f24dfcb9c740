"""`persona-ray assist library`: scripts as files, and which version calls begin with."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read

if TYPE_CHECKING:
    from persona_ray.conversation import ScriptLibrary

app = typer.Typer(
    no_args_is_help=True,
    help="What agents may say: check, import, export, go back to an earlier version.",
)
_SHOWN = 12


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A .yaml or .csv file of scripts.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Read a library and tell every mistake with its place, or what is in it."""
    from persona_ray.inference.assist.library import load_library

    typer.echo(_told(load_library(str(file), read(config, overrides).assist.steps)))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .yaml or .csv file of scripts.")],
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what would change, and change nothing.")
    ] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Make a library what calls begin with; calls that go on keep theirs.

    YAML names its version itself, a CSV file by its name (retail-7.csv). A version that is in the
    store keeps its scripts for good, since suggestions name it.
    """
    from persona_ray.inference.assist.library import load_library
    from persona_ray.inference.assist.shelf import LibraryShelf, change_between
    from persona_ray.store import open_store

    run = read(config, overrides)
    library = load_library(str(file), run.assist.steps)
    with open_store(run.store_url) as store:
        shelf = LibraryShelf(store, run.assist)
        change = change_between(shelf.current(), library)
        for sign, ids in (("+", change.added), ("~", change.changed), ("-", change.removed)):
            for script_id in ids[:_SHOWN]:
                typer.echo(f"  {sign} {script_id}")
            if len(ids) > _SHOWN:
                typer.echo(f"  {sign} and {len(ids) - _SHOWN} more")
        if preview:
            typer.echo(f"would be: {change}; nothing was changed")
            return
        shelf.put(library, getpass.getuser())
    typer.echo(f"{change}; calls begin with {library.name} {library.version}")
    if run.assist.library:
        typer.echo(f"but assist.library names {run.assist.library}, which goes before", err=True)


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="A .yaml or .csv file to write.")],
    name: Annotated[str, typer.Option(help="Of the library; with --version.")] = "",
    version: Annotated[str, typer.Option(help="Empty: what calls begin with.")] = "",
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Write a library as a file, which `import` reads back."""
    from persona_ray.inference.assist.library import write_library
    from persona_ray.inference.assist.shelf import LibraryShelf
    from persona_ray.store import open_store

    run = read(config, overrides)
    with open_store(run.store_url) as store:
        shelf = LibraryShelf(store, run.assist)
        library = shelf.get(name or shelf.current().name, version) if version else shelf.current()
    write_library(library, out)
    typer.echo(f"{_told(library)}: {out}")


@app.command("list")
def list_(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """The versions of the store, the latest first."""
    from persona_ray.inference.assist.shelf import LibraryShelf
    from persona_ray.store import open_store

    run = read(config, overrides)
    with open_store(run.store_url) as store:
        shelf = LibraryShelf(store, run.assist)
        kept = shelf.versions()
        for one in kept:
            mark = "*" if one.current else " "
            made = f"{one.made_at:%Y-%m-%d %H:%M} by {one.made_by}"
            count = len(one.content["scripts"])
            typer.echo(f"{mark} {one.name} {one.version}  {count} scripts  {made}  {one.digest}")
        if not any(one.current for one in kept) or run.assist.library:
            typer.echo(f"calls begin with {_told(shelf.current())}, which is a file")


@app.command()
def use(
    name: Annotated[str, typer.Argument(help="Of the library, as `list` has it.")],
    version: Annotated[str, typer.Argument(help="Of the library.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Let calls begin with this version: after an import that was a mistake."""
    from persona_ray.inference.assist.shelf import LibraryShelf
    from persona_ray.store import open_store

    run = read(config, overrides)
    with open_store(run.store_url) as store:
        LibraryShelf(store, run.assist).use(name, version)
    typer.echo(f"calls begin with {name} {version}")


def _told(library: ScriptLibrary) -> str:
    products = sorted({one.product for one in library.scripts.values() if one.product})
    of = f" of {', '.join(products)}" if products else ""
    return f"{library.name} {library.version}: {len(library.scripts)} scripts{of}"
