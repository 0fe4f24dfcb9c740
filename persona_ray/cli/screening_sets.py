"""`persona-ray screening sets`: the key that signs what devices fetch, and going back."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read
from persona_ray.errors import ConfigError
from persona_ray.serving.screening.statements import Kind

app = typer.Typer(
    no_args_is_help=True,
    help="What devices fetch: versions, the key that signs, going back to an earlier version.",
)


@app.command()
def key(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Show the id of the key that signs now, for `persona-ray device sync --trust`. The first start
    makes it; so does this."""
    from persona_ray.vault.signing import SigningKeys, keys_folder

    typer.echo(SigningKeys(keys_folder(read(config, overrides))).key_id)


@app.command("rotate-key")
def rotate_key(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Make a new key, signed by the present one, which is then wiped. A running service signs with
    it at once; devices follow by themselves.

    Where the present key was stolen this does not help: whoever has it can name a successor, too.
    Then begin with an empty folder of keys, and tell devices by `--trust`.
    """
    from persona_ray.vault.signing import SigningKeys, keys_folder

    typer.echo(SigningKeys(keys_folder(read(config, overrides))).rotate())


@app.command()
def versions(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """How far the shared sets have come, and how far one can go back."""
    from persona_ray.store import open_store

    with open_store(read(config, overrides).store_url) as store:
        for kind in Kind:
            state = store.changes.state(kind)
            typer.echo(f"{kind}: version {state.sequence}, kept from {state.floor} on")


@app.command()
def rollback(
    kind: Annotated[Kind, typer.Argument(help="numbers or voices.")],
    version: Annotated[int, typer.Argument(min=0, help="Of `versions`; what stood then.")],
    reason: Annotated[str, typer.Option(help="For the history of each entry.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Put back what stood at an earlier version, as new changes that devices follow: after a bad
    import, or a mass report. What has expired or was forgotten since does not come back."""
    from persona_ray.store import open_store
    from persona_ray.vault.seal import vault_of

    now, run = datetime.now(UTC), read(config, overrides)
    with open_store(run.store_url, vault=vault_of(run)) as store:
        back = store.screening_rollback
        try:
            to = back.numbers if kind is Kind.NUMBERS else back.voices
            done = to(version, getpass.getuser(), reason, now)
        except ValueError as error:
            raise ConfigError(f"{error}: `persona-ray screening sets versions`") from None
    typer.echo(f"{kind}: {done.entries} entries are as at version {version}: now {done.version}")
