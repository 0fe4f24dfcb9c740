"""`persona-ray audit`: what was done with personal data, and that nobody changed what is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read
from persona_ray.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    help="The audit log: who forgot, exported, promoted, made keys; show, verify, export.",
)
Since = Annotated[
    datetime | None,
    typer.Option("--since", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC; from then on."),
]


@app.command()
def show(since: Since = None, config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Entries, the oldest first. Persons are named by digests: `audit person ID` tells whose."""
    from rich.console import Console
    from rich.table import Column, Table

    from persona_ray.store import open_audited

    heads = ("number", "at (UTC)", "actor", "action", "about", "outcome", "details")
    table = Table(*(Column(name, overflow="fold") for name in heads))
    with open_audited(read(config, overrides)) as store:
        for entry in store.audit.entries(_utc(since)):
            details = ", ".join(f"{k} {v}" for k, v in entry.told()["details"].items())
            shown = (entry.at[:19], entry.actor, entry.action, entry.about, entry.outcome)
            table.add_row(str(entry.number), *shown, details)
    Console().print(table)


@app.command()
def verify(
    head: Annotated[
        str,
        typer.Option(
            metavar="NUMBER:HASH", help="A head that was written down: the service logs them."
        ),
    ] = "",
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Whether every entry is as it was written, in its place, and none is missing.

    Names the first that does not fit; exit code 3.
    """
    from persona_ray.store import open_audited
    from persona_ray.store.audit_seal import AuditHead

    known = None
    if head:
        number, _, digest = head.partition(":")
        if not number.isdigit() or not digest:
            raise ConfigError(f"--head {head}: write NUMBER:HASH, as the logs have it")
        known = AuditHead(number=int(number), hash=digest)
    with open_audited(read(config, overrides)) as store:
        found = store.audit.verify(known)
    said = f"entries {found.first} to {found.last}" if found.entries else "empty"
    typer.echo(f"the audit log is whole: {said}, head {found.last}:{found.hash}")


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="JSON lines, an entry each, with signatures.")],
    since: Since = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Write the log where it is kept elsewhere."""
    from persona_ray.files import draft
    from persona_ray.store import open_audited

    with (
        open_audited(read(config, overrides)) as store,
        draft(out) as written,
        written.open("w", encoding="utf-8") as file,
    ):
        for entry in store.audit.entries(_utc(since)):
            file.write(json.dumps(entry.told(), ensure_ascii=False) + "\n")
    typer.echo(f"{out}")


@app.command()
def person(
    name: Annotated[str, typer.Argument(help="An id, number or voice.")],
    kind: Annotated[str, typer.Option(help="customer, user, number, voice or agent.")] = "customer",
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """The digest by which the log and receipts name a person."""
    from persona_ray.inference.screening.numbers import normalise
    from persona_ray.store import open_audited
    from persona_ray.store.audit_seal import KINDS

    if kind not in KINDS:
        raise ConfigError(f"--kind {kind}: one of {', '.join(KINDS)}")
    run = read(config, overrides)
    name = normalise(name, run.screening.region) if kind == "number" else name
    with open_audited(run) as store:
        typer.echo(store.audit.person(kind, name))


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)
