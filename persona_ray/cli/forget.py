"""`persona-ray forget`: a person goes from everything that this product keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, confirm, read
from persona_ray.errors import ConfigError

if TYPE_CHECKING:
    from persona_ray.apps.privacy.plan import Person
    from persona_ray.apps.privacy.receipts import Receipt
    from persona_ray.config import RunConfig


def forget(
    customer: Annotated[str, typer.Option(help="Id of a customer of the archive.")] = "",
    user: Annotated[str, typer.Option(help="Id of a user of screening.")] = "",
    number: Annotated[str, typer.Option(help="A number that called.")] = "",
    voice: Annotated[str, typer.Option(help="Id of a voice of the libraries.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="All persons of the receipts once more: after a restore."),
    ] = False,
    verify: Annotated[
        Path | None, typer.Option("--verify", metavar="RECEIPT", help="Check a receipt.")
    ] = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Forget a person: recordings, clips, annotations, results, voiceprints, pushes, transcripts,
    caches and reports go; a signed receipt says what went and what remains, and why.

    Name all that the person is known by. Bundles that learned of the person are listed and marked.
    Killed at any moment, the same command goes on. With --verify and a name: whether the receipt is
    that person's.
    """
    from persona_ray.apps.privacy.plan import Person
    from persona_ray.progress import RichProgress

    run = read(config, overrides)
    person = Person(customer=customer, user=user, number=number, voice=voice)
    if verify is not None:
        _verify(run, verify, person)
        return
    from persona_ray.apps.privacy.forgetting import forget as forget_person
    from persona_ray.apps.privacy.forgetting import forget_again
    from persona_ray.store.audit import actor_here

    if again:
        if any(person.model_dump().values()):
            raise ConfigError("--again forgets those of the receipts: name nobody")
        done = forget_again(run, actor_here(), RichProgress())
        typer.echo(f"forgotten again: {done} persons")
        return
    kinds = ", ".join(f"{kind} {name}" for kind, name in person.named().items())
    confirm(f"delete all that {run.workspace} keeps of {kinds} for good?", yes)
    found = forget_person(run, person, actor_here(), RichProgress())
    _tell(found.receipt)
    typer.echo(f"receipt: {found.path}")
    if found.nothing:
        typer.echo(f"nothing was kept of {kinds}: is the id right?", err=True)


def _verify(run: RunConfig, path: Path, person: Person) -> None:
    from persona_ray.apps.privacy.receipts import read_receipt
    from persona_ray.errors import AuditError
    from persona_ray.store.audit_seal import AuditSeal

    seal = AuditSeal.of(run)
    receipt, person = read_receipt(path, seal), person.as_kept(run)
    if any(person.model_dump().values()) and person.digests(seal.person) != receipt.person:
        raise AuditError(f"{path} is signed by this installation, but is another person's")
    _tell(receipt)
    typer.echo(f"signed by this installation; receipt {receipt.receipt} of {receipt.done_at}")


def _tell(receipt: Receipt) -> None:
    for place, count in receipt.deleted.items():
        typer.echo(f"deleted: {count} {place}")
    if not receipt.deleted:
        typer.echo("deleted: nothing was kept")
    for bundle in receipt.bundles:
        said = bundle.unknown or f"learned of {bundle.clips} clips"
        typer.echo(f"bundle {bundle.bundle}: {said}{' (marked)' if bundle.marked else ''}")
    for left in receipt.remains:
        typer.echo(f"remains: {left.place}: {left.why}")
