"""`persona-ray backup`: the store and the registry, copied and brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read

if TYPE_CHECKING:
    from persona_ray.launch.backup.making import Part
    from persona_ray.launch.backup.record import Backup
    from persona_ray.store.audit import AuditRepository

app = typer.Typer(
    no_args_is_help=True,
    help="""Copies of the store and of the registered models: make, check, bring back.

A backup is of one moment, made while services go on. It moves between SQLite and PostgreSQL, and
between a laptop's MLflow file and a server: `backup create` there and `backup restore` here is the
way from a laptop to a cluster. Keys are not in it: keep `vault.keys` and the signing keys by
themselves, or what is sealed cannot be read. Recordings and the corpus are not in it: they are
files of the workspace, or in `storage.artefacts`.
""",
)

Place = Annotated[
    str, typer.Argument(help="A folder of its own, or a URI such as s3://bucket/backups.")
]
Name = Annotated[str, typer.Option("--name", help="Which backup; default: the newest.")]
Only = Annotated[
    str, typer.Option("--only", help="store or registry; default: both.", show_default=False)
]


@app.command()
def create(
    target: Place, only: Only = "", config: ConfigPath = None, overrides: Overrides = None
) -> None:
    """Copy the store, as it stands now, and every registered version to TARGET.

    What is there already is not sent again: backups that follow each other are small. One that
    broke off is no backup; the next goes on with what was sent.

    Example: `backup create s3://bucket/backups --config my.yaml`
    """
    from persona_ray.launch.backup import making
    from persona_ray.progress import RichProgress

    parts = _parts(only)
    backup = making.create(read(config, overrides), target, RichProgress(), parts)
    for reason in backup.registry.left_out if backup.registry else ():
        typer.echo(f"left out: {reason}", err=True)
    _tell(backup)


@app.command("list")
def list_(target: Place) -> None:
    """Every backup at TARGET, the newest first."""
    from rich.console import Console
    from rich.table import Table

    from persona_ray.launch.backup.record import names
    from persona_ray.launch.backup.record import read as read_backup
    from persona_ray.launch.storage.object_store import ObjectStore

    place = ObjectStore.open(target)
    there = names(place)
    if not there:
        typer.echo(f"{target} holds no backup: `persona-ray backup create {target}` makes one")
        return
    table = Table("name", "rows", "schema", "versions", "MB", "made by")
    for name in reversed(there):
        backup = read_backup(place, name)
        table.add_row(
            name,
            str(sum(backup.store.tables.values())) if backup.store else "-",
            backup.store.revision if backup.store else "-",
            str(sum(map(len, backup.registry.models.values()))) if backup.registry else "-",
            f"{backup.size_bytes / 1e6:.1f}",
            backup.product,
        )
    Console().print(table)


@app.command()
def verify(target: Place, name: Name = "") -> None:
    """Read a backup through: every file is there, with the content that was written."""
    from persona_ray.launch.backup import making
    from persona_ray.progress import RichProgress

    _tell(making.verify(target, RichProgress(), name))


@app.command()
def restore(
    source: Place,
    name: Name = "",
    only: Only = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up what the store and the registry hold now.")
    ] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Bring a backup back into the configured store and registry, which are empty or given up.

    Stop services before. An older release's backup is migrated. The audit log tells that it was put
    back, and persons whose receipts of forgetting are in the workspace are forgotten again.
    """
    from persona_ray.apps.privacy.forgetting import forget_again
    from persona_ray.launch.backup import restoring
    from persona_ray.progress import RichProgress
    from persona_ray.store.audit import actor_here
    from persona_ray.store.open import open_audited

    run = read(config, overrides)
    parts, progress, actor = _parts(only), RichProgress(), actor_here()
    backup = restoring.restore(run, source, progress, name, parts, replace)
    _tell(backup, parts)
    if "store" not in parts:
        return
    with open_audited(run) as store:
        # By what was there before: the entry below makes keys where there are none.
        strange = not _signed_here(store.audit)
        with store.write() as session:
            store.audit.rewound(session, actor)
        folder = store.audit.seal.folder
    if strange:
        typer.echo(
            f"none of the keys in {folder} has signed the backup's audit log, and `audit verify` "
            "refuses it here: put the keys of the installation that it is from in their place, and "
            "restore once more, with --only store --replace",
            err=True,
        )
    again = forget_again(run, actor, progress)
    if again:
        typer.echo(f"forgotten again: {again} persons, who were forgotten after {backup.name}")


@app.command()
def prune(
    target: Place,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest stay.")],
) -> None:
    """Remove all but the newest backups, with what only they hold. Not while one is made."""
    from persona_ray.launch.backup import making

    gone, files = making.prune(target, keep)
    typer.echo(f"removed: {len(gone)} backups, {files} files")


def _signed_here(audit: AuditRepository) -> bool:
    """Whether a key of this installation signed the log's first entry, or there is none."""
    from persona_ray.errors import AuditError

    first = next(audit.entries(), None)
    try:
        if first is not None:
            audit.seal.check(first.signed())
    except AuditError:
        return False
    return True


def _parts(only: str) -> tuple[Part, ...]:
    from persona_ray.errors import ConfigError
    from persona_ray.launch.backup.making import BOTH, Part

    if not only:
        return BOTH
    if only not in set(Part):
        raise ConfigError(f"--only {only}: it is {' or '.join(Part)}")
    return (Part(only),)


def _tell(backup: Backup, parts: tuple[str, ...] = ("store", "registry")) -> None:
    said = [f"{backup.name}: {backup.size_bytes / 1e6:.1f} MB"]
    if backup.store and "store" in parts:
        rows = sum(backup.store.tables.values())
        said.append(f"store at schema {backup.store.revision} with {rows} rows")
    if backup.registry and "registry" in parts:
        models = backup.registry.models
        said.append(", ".join(f"{name} {len(models[name])} versions" for name in models))
    typer.echo("; ".join(part for part in said if part))
