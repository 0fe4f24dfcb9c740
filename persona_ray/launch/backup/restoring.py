"""Bringing a backup back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from persona_ray.config import RunConfig
from persona_ray.errors import BackupError
from persona_ray.launch.backup.making import BOTH, Part, verify
from persona_ray.launch.backup.record import Backup, read
from persona_ray.launch.backup.registry import check_free, restore_model
from persona_ray.launch.storage.object_store import ObjectStore
from persona_ray.progress import Progress
from persona_ray.store.database import Database
from persona_ray.store.dump import Dump, restore_rows
from persona_ray.store.urls import expand_url


def restore(
    config: RunConfig,
    source: str,
    progress: Progress,
    name: str = "",
    parts: Sequence[Part] = BOTH,
    replace: bool = False,
) -> Backup:
    """Bring the newest backup at `source`, or that of `name`, into the configured store and
    registry, whichever databases they are. Rows and versions that are there are given up with
    `replace` alone, for a backup that was read through before.

    The store comes in one transaction; the registry version by version, and goes on where it broke
    off when the same is asked again. Raises BackupError, StoreError, RegistryError, StorageError,
    TrackingError.
    """
    place = ObjectStore.open(source)
    backup = read(place, name)
    registry = backup.registry if Part.REGISTRY in parts else None
    if registry is not None and not replace:
        # Before the store is touched: the two belong together.
        check_free(config, registry)
    if replace:
        # What is given up is not for a backup that turns out damaged half-way.
        verify(source, progress, backup.name)
    with TemporaryDirectory(prefix="persona-ray-restore-") as scratch:
        if Part.STORE in parts:
            _restore_store(config, backup, place, Path(scratch), replace, progress)
        if registry is not None:
            with progress.stage("registry", total=len(registry.models)) as stage:
                for model in registry.models:
                    folder = Path(scratch) / "registry" / model
                    folder.mkdir(parents=True)
                    files = backup.below(f"registry/{model}")
                    restore_model(config, model, place, files, folder, replace)
                    stage.advance(1)
    return backup


def _restore_store(
    config: RunConfig,
    backup: Backup,
    place: ObjectStore,
    scratch: Path,
    replace: bool,
    progress: Progress,
) -> None:
    if backup.store is None:
        raise BackupError(f"{backup.name} has no store: it was made of the registry alone")
    folder = scratch / "store"
    folder.mkdir()
    files = backup.below("store")
    with progress.stage("fetching", total=len(files)) as stage:
        for path, file in files.items():
            place.get(file, folder / path)
            stage.advance(1)
    dump = Dump(backup.store.revision, dict(backup.store.tables))
    database = Database(expand_url(config.store_url))
    try:
        with progress.stage("store", total=dump.rows) as stage:
            restore_rows(database, folder, dump, replace, lambda n: stage.advance(n))
    finally:
        database.close()
