"""Making, checking, listing and thinning out backups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from persona_ray import __version__
from persona_ray.config import RunConfig
from persona_ray.errors import BackupError
from persona_ray.launch.backup.record import Backup, RegistryPart, StorePart, names, read
from persona_ray.launch.backup.registry import keep_registry
from persona_ray.launch.storage.object_store import ObjectStore, StoredFile
from persona_ray.launch.tracking.runs import has_store
from persona_ray.progress import Progress
from persona_ray.store.database import connected
from persona_ray.store.dump import count_rows, dump_rows


class Part(StrEnum):
    """What a backup holds."""

    STORE = "store"
    REGISTRY = "registry"


BOTH = (Part.STORE, Part.REGISTRY)


def create(
    config: RunConfig,
    target: str,
    progress: Progress,
    parts: Sequence[Part] = BOTH,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Backup:
    """Copy the store, as it stands at one moment, and every registered version to `target`, a
    folder or fsspec URI. Services may go on meanwhile.

    What is there already is not sent again. The record is written last: what broke off is no
    backup. Raises StoreError, TrackingError, StorageError.
    """
    place = ObjectStore.open(target)
    files: dict[str, StoredFile] = {}
    store: StorePart | None = None
    registry: RegistryPart | None = None
    made_at = now()
    with TemporaryDirectory(prefix="persona-ray-backup-") as scratch:
        if Part.STORE in parts:
            store = _keep_store(config, Path(scratch), place, files, progress)
        if Part.REGISTRY in parts and has_store(config):
            with progress.stage("registry", total=None) as stage:

                def keep(path: str, file: Path) -> None:
                    files[path] = place.put(file)
                    stage.advance(1)

                registry = keep_registry(config, Path(scratch), keep)
    backup = Backup(made_at, __version__, store, registry, files)
    if backup.name in names(place):
        raise BackupError(f"{target} has a {backup.name} already: make the next a second later")
    place.write(backup.name, backup.to_json())
    return backup


def _keep_store(
    config: RunConfig,
    scratch: Path,
    place: ObjectStore,
    files: dict[str, StoredFile],
    progress: Progress,
) -> StorePart:
    folder = scratch / "store"
    folder.mkdir()
    with connected(config.store_url) as database:
        rows = count_rows(database).rows
        with progress.stage("store", total=rows) as stage:
            dump = dump_rows(database, folder, lambda n: stage.advance(n))
    with progress.stage("sending", total=len(dump.tables)) as stage:
        for file in sorted(folder.iterdir()):
            files[f"store/{file.name}"] = place.put(file)
            stage.advance(1)
    return StorePart(dump.revision, dump.tables)


def verify(source: str, progress: Progress, name: str = "") -> Backup:
    """Read a backup through (the newest, or that of `name`). Raises BackupError, StorageError where
    anything of it is missing or damaged."""
    place = ObjectStore.open(source)
    backup = read(place, name)
    with progress.stage("verifying", total=len(backup.files)) as stage:
        for file in backup.files.values():
            place.check(file)
            stage.advance(1)
    return backup


def prune(target: str, keep: int) -> tuple[list[str], int]:
    """Remove all but the newest `keep` backups, and files that none of these has; the names of
    those, and how many files. No backup may be under way. Raises BackupError where the place holds
    other things, too."""
    if keep < 1:
        raise BackupError(f"--keep {keep}: keep at least 1")
    place = ObjectStore.open(target)
    there = names(place)
    others = sorted(set(place.documents()) - set(there))
    if others:
        raise BackupError(
            f"{target} holds {others[0]}, which is no backup: files that belong to it would go; "
            "keep backups in a folder of their own"
        )
    gone = there[:-keep]
    kept = {file.sha256 for name in there[-keep:] for file in read(place, name).files.values()}
    for name in gone:
        place.remove(name)
    return gone, place.prune(kept)
