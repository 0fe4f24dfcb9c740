"""`persona-ray keys`: who may ask the service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read
from persona_ray.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    help="Keys of the service: make one, list them, revoke one. `persona-ray serve` on a laptop "
    "makes one for as long as it runs.",
)


@app.command()
def create(
    name: Annotated[
        str,
        typer.Argument(
            help="Whose key it is: an annotator's labels, a user's or agent's calls are kept under "
            "this name."
        ),
    ],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            help="What it may do: recognise, jobs, live, annotate, models, metrics; screen, "
            "screening, device for screening; assist for an agent; operator: what is others'; "
            "or admin for everything. May be given many times.",
        ),
    ],
    per_minute: Annotated[
        int | None,
        typer.Option(min=1, help="Requests per minute; default: serving.keys.requests_per_minute."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="It ends after so many days; default: never.")
    ] = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Make a key. It is shown once: the store keeps only what it is recognised by.

    Example: `keys create desk --scope recognise --scope live --days 90`
    """
    from persona_ray.store import open_audited
    from persona_ray.store.audit import actor_here

    if not name.strip():
        raise ConfigError("nobody is named whose key it is: such as `keys create desk --scope ...`")
    lifetime = None if days is None else timedelta(days=days)
    with open_audited(read(config, overrides)) as store:
        try:
            issued = store.keys.create(name, scope, per_minute, lifetime)
        except ValueError as error:
            raise ConfigError(f"--scope: {error}") from None
        scopes = " ".join(sorted(issued.key.scopes))
        about = f"key:{issued.key.key_id}"
        store.audit.note(actor_here(), "keys.create", about, details={"scopes": scopes})
    # The key alone on standard output: KEY=$(persona-ray keys create ...)
    typer.echo(f"key {issued.key.key_id} of {name}, shown this once:", err=True)
    typer.echo(issued.token)


@app.command("list")
def list_(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Every key that was made: its id, whose it is, what it may do, until when."""
    from rich.console import Console
    from rich.table import Column, Table

    from persona_ray.store import open_store

    now = datetime.now(UTC)
    # Nothing is cut off on a narrow terminal: `keys revoke` wants the id.
    table = Table(
        Column("id", no_wrap=True),
        *(Column(name, overflow="fold") for name in ("name", "scopes", "per minute")),
        Column("made", no_wrap=True),
        Column("ends", overflow="fold"),
        Column("", no_wrap=True),
    )
    with open_store(read(config, overrides).store_url) as store:
        for key in store.keys.all():
            table.add_row(
                key.key_id,
                key.name,
                " ".join(sorted(key.scopes)),
                "" if key.requests_per_minute is None else str(key.requests_per_minute),
                f"{key.created_at:%Y-%m-%d}",
                "" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}",
                key.state(now),
            )
    Console().print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that `keys list` shows.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """End a key. A running service notices within seconds."""
    from persona_ray.store import open_audited
    from persona_ray.store.audit import actor_here

    with open_audited(read(config, overrides)) as store:
        if not store.keys.revoke(key_id=key_id):
            raise ConfigError(
                f"there is no valid key '{key_id}': `persona-ray keys list` shows their ids"
            )
        store.audit.note(actor_here(), "keys.revoke", f"key:{key_id}")
    typer.echo(f"key {key_id} is revoked")
