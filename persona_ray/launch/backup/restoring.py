"""Bringing a backup back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from persona_ray.config import RunConfig
from persona_ray.errors import BackupError
from persona_ray.launch.backup.making import BOTH, Part, verify
from persona_ray.launch.backup.record import Backup, RegistryPart, read
from persona_ray.launch.backup.registry import check_free, restore_model
from persona_ray.launch.storage.object_store import ObjectStore
from persona_ray.progress import Progress
from persona_ray.store.database import connected
from persona_ray.store.dump import Dump, check_empty, restore_rows


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

    The registry comes version by version, and goes on where it broke off when the same is asked
    again; then the store, in one transaction. Raises BackupError, StoreError, RegistryError,
    StorageError, TrackingError.
    """
    place = ObjectStore.open(source)
    backup = read(place, name)
    _check_has(backup, parts)
    registry = backup.registry if Part.REGISTRY in parts else None
    store = backup.store if Part.STORE in parts else None
    if replace:
        # What is given up is not for a backup that turns out damaged half-way.
        verify(source, progress, backup.name)
    elif registry is not None:
        check_free(config, registry)
    with TemporaryDirectory(prefix="persona-ray-restore-") as scratch:
        folder = Path(scratch)
        if store is None:
            _restore_registry(config, backup, registry, place, folder, replace, progress)
            return backup
        dump = Dump(store.revision, dict(store.tables))
        _fetch(place, backup, folder, progress)
        with connected(config.store_url) as database:
            if not replace:
                check_empty(database)
            # The store is last: who was forgotten since has to be forgotten again once it is there.
            _restore_registry(config, backup, registry, place, folder, replace, progress)
            with progress.stage("store", total=dump.rows) as stage:
                restore_rows(database, folder / "store", dump, replace, lambda n: stage.advance(n))
    return backup


def _check_has(backup: Backup, parts: Sequence[Part]) -> None:
    """A registry may be missing, where nothing had been registered."""
    if Part.STORE in parts and backup.store is None:
        missing, there = Part.STORE, Part.REGISTRY
    elif Part.STORE not in parts and backup.registry is None:
        missing, there = Part.REGISTRY, Part.STORE
    else:
        return
    raise BackupError(
        f"{backup.name} has no {missing}: say --only {there}, or name another backup (--name)"
    )


def _fetch(place: ObjectStore, backup: Backup, folder: Path, progress: Progress) -> None:
    (folder / "store").mkdir()
    files = backup.below("store")
    with progress.stage("fetching", total=len(files)) as stage:
        for path, file in files.items():
            place.get(file, folder / "store" / path)
            stage.advance(1)


def _restore_registry(
    config: RunConfig,
    backup: Backup,
    registry: RegistryPart | None,
    place: ObjectStore,
    scratch: Path,
    replace: bool,
    progress: Progress,
) -> None:
    if registry is None:
        return
    with progress.stage("registry", total=len(registry.models)) as stage:
        for model in registry.models:
            files = backup.below(f"registry/{model}")
            restore_model(config, model, place, files, scratch, replace)
            stage.advance(1)
