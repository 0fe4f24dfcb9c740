"""`persona-ray vault`: the keys that seal personal data at rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read

if TYPE_CHECKING:
    from persona_ray.serving.sealed_places import Held, Place
    from persona_ray.vault.keys import KeyRing

app = typer.Typer(
    no_args_is_help=True,
    help="Keys that seal voiceprints, recordings and clips at rest: what each of them seals, a new "
    "one, the end of an old one. They are never shown.",
)


@app.command()
def status(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """What each key seals, and what is plain. Exit code 3 where a key is missing that something is
    sealed by."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(
        *(Column(name, no_wrap=True) for name in ("key", "made")), Column("seals", overflow="fold")
    )
    with _opened(config, overrides) as (ring, places, held):
        keys = {key.key_id: f"{key.made_at:%Y-%m-%d %H:%M}" for key in ring.all()}
        counts = {place.name: place.by_key() for place in (*places, held)}
    found = {key_id for count in counts.values() for key_id in count}
    for key_id in [*keys, *sorted(found - keys.keys())]:
        sealed = [f"{count[key_id]} {name}" for name, count in counts.items() if count[key_id]]
        if key_id and key_id not in keys:
            sealed.insert(0, "missing, what it sealed can't be opened:")
        elif key_id and key_id == list(keys)[-1]:
            sealed.insert(0, "new values;")
        table.add_row(key_id or "(plain)", keys.get(key_id, ""), "\n".join(sealed))
    typer.echo(ring.path)
    Console().print(table)
    ring.check_not_lost()
    for key_id in sorted(filter(None, found - keys.keys())):
        # Says where keys are looked for.
        ring.key(key_id)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="The ring: made where there is none.")],
) -> None:
    """Add a new key to a ring that is kept elsewhere, such as the file of a Kubernetes Secret.
    Where it is mounted, it seals from then on; then `rotate`."""
    from persona_ray.vault.keys import KeyRing, new_key

    key = new_key()
    KeyRing(file.absolute(), makes=False).add(key)
    typer.echo(f"key {key.key_id} seals now: {file}")


@app.command()
def rotate(
    anew: Annotated[
        bool, typer.Option("--anew", help="A new key, though another still seals something.")
    ] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Seal everything by a new key, and what is plain with it; services may run meanwhile. One that
    was killed goes on with its key. Afterwards `drop` the old key, once no backup needs it."""
    from persona_ray.progress import RichProgress
    from persona_ray.serving.sealed_places import rotate

    with _opened(config, overrides) as (ring, places, held):
        key_id = rotate(ring, places, RichProgress(), anew)
        open_ = sum(count for one, count in held.by_key().items() if one != key_id)
    _note(config, overrides, "vault.rotate", key_id)
    typer.echo(f"what is sealed is sealed by key {key_id}")
    if open_:
        typer.echo(f"{open_} {held.name} follow when they end")


@app.command()
def drop(
    key_id: Annotated[str, typer.Argument(help="Of `status`.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Take a key out of the ring. Refused while it seals anything; backups that were made under it
    can't be opened any more, unless it is kept with them."""
    from persona_ray.serving.sealed_places import drop

    with _opened(config, overrides) as (ring, places, held):
        drop(ring, (*places, held), key_id)
    _note(config, overrides, "vault.drop", key_id)
    typer.echo(f"key {key_id} is dropped")


def _note(config: Path | None, overrides: list[str] | None, action: str, key_id: str) -> None:
    from persona_ray.store import open_audited
    from persona_ray.store.audit import actor_here

    with open_audited(read(config, overrides)) as store:
        store.audit.note(actor_here(), action, f"vault key:{key_id}")


@contextmanager
def _opened(
    config: Path | None, overrides: list[str] | None
) -> Iterator[tuple[KeyRing, tuple[Place, ...], Held]]:
    from persona_ray.serving.screening.recordings import Recordings
    from persona_ray.serving.sealed_places import OpenTracks, places_of
    from persona_ray.store import open_store
    from persona_ray.vault.keys import ring_of
    from persona_ray.vault.seal import vault_of

    run = read(config, overrides)
    ring = ring_of(run)
    vault = vault_of(run, ring)
    with open_store(run.store_url, vault=vault) as store:
        yield ring, places_of(run, store, vault), OpenTracks(Recordings(run.workspace))
