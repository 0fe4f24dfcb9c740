"""`persona-ray store`: the schema of the product's own database."""

from __future__ import annotations

from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, confirm, read

app = typer.Typer(
    no_args_is_help=True,
    help="The product's own database: its schema, and the way to another release's.",
)


@app.command()
def status(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Which schema the store is at, which this release works with, and how many rows each table
    holds. Nothing is changed."""
    from rich.console import Console
    from rich.table import Table

    from persona_ray.store.migrating import EMPTY, Schema
    from persona_ray.store.schema import schema_of

    run = read(config, overrides)
    found = schema_of(run.store_url)
    head = Schema().head
    if found.revision == EMPTY:
        typer.echo(f"{found.shown}: no tables yet; the first command that needs them makes them")
        return
    table = Table("table", "rows")
    for name, rows in sorted(found.tables.items()):
        table.add_row(name, str(rows))
    Console().print(table)
    way = "" if found.revision == head else f"; this release works with {head}: `store upgrade`"
    typer.echo(f"{found.shown}: schema {found.revision}{way}")


@app.command()
def upgrade(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Bring the store to this release's schema.

    Every command does so when it opens the store; this one does nothing else: run it by itself
    before replicas of a new release start. What the release before reads and writes stays as it
    was, so that its replicas go on until they are gone."""
    from persona_ray.store.schema import upgrade as bring

    before, after = bring(read(config, overrides).store_url)
    typer.echo(f"schema {after}" if before == after else f"schema {before} -> {after}")


@app.command()
def downgrade(
    to: Annotated[str, typer.Argument(help="The schema to go back to, such as 0011.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Take the store back to an older release's schema, then start that release.

    What only later schemas know is lost: it is named before. Stop services and make a backup
    first."""
    from persona_ray.store.schema import downgrade as take_back
    from persona_ray.store.schema import lost_by

    url = read(config, overrides).store_url
    lost = lost_by(url, to)
    if lost:
        said = ", ".join(f"{rows} rows of {name}" for name, rows in sorted(lost.items()))
        confirm(f"schema {to} does not know {said}: give them up for good?", yes)
    take_back(url, to)
    typer.echo(f"schema {to}")
