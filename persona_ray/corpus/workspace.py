"""The corpus folder of a build: whose settings it has, what is done, and who works on it."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from persona_ray.config import RunConfig
from persona_ray.corpus.compaction import QUARANTINE
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import (
    MANIFEST,
    Manifest,
    changed_settings,
    corpus_settings,
    settings_hash,
    write_atomic,
)
from persona_ray.corpus.staging import Staging
from persona_ray.errors import CorpusError

_STAGING = "staging"
_SETTINGS = "settings.json"
_LOCK = ".lock"
_CACHED_GROUPS = 8


@dataclass(frozen=True, slots=True)
class Workspace:
    """A corpus folder that is ready for a build."""

    folder: Path
    manifest: Manifest
    staging: Staging


@contextmanager
def open_workspace(config: RunConfig, fresh: bool = False) -> Iterator[Workspace]:
    """Make `config.corpus_dir` ready and keep other builds out of it.

    `fresh` first removes the corpus that is there. CorpusError where another build is at work,
    where the corpus was built with other settings, or where a shard is missing.
    """
    folder = config.corpus_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            # The lock goes with the process, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CorpusError(f"another build is at work in {folder}: wait for its end") from None
        if fresh:
            _clear(folder)
        yield _prepare(folder, corpus_settings(config))


def _prepare(folder: Path, settings: dict[str, Any]) -> Workspace:
    digest = settings_hash(settings)
    if (folder / MANIFEST).exists():
        manifest = CorpusDataset.open(folder).manifest
        _check_settings(folder, "corpus", manifest.settings, settings)
    else:
        manifest = Manifest(settings=settings, settings_hash=digest)
    staging = Staging(folder / _STAGING / f"{digest}-{manifest.generation:04d}")
    for other in sorted((folder / _STAGING).glob("*")):
        if other == staging.folder:
            continue
        if manifest.generation == 0:
            note = other / _SETTINGS
            old = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
            _check_settings(folder, "unfinished corpus", old, settings)
        # Its calls are in shards already: a kill came between the two.
        shutil.rmtree(other)
    if not staging.folder.is_dir():
        staging.folder.mkdir(parents=True)
    write_atomic(
        staging.folder / _SETTINGS, json.dumps(settings, ensure_ascii=False, indent=1).encode()
    )
    return Workspace(folder, manifest, staging)


def _check_settings(folder: Path, what: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    changed = changed_settings(old, new)
    if changed:
        raise CorpusError(
            f"the {what} in {folder} was made with other settings ({'; '.join(changed[:4])}): "
            "set them back, build it anew with --fresh, or choose another workspace"
        )


def _clear(folder: Path) -> None:
    """Remove what a build makes and nothing else, the manifest first: without it, no corpus."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for pattern in ("clips-*.parquet*", "calls-*.parquet*", QUARANTINE):
        for path in folder.glob(pattern):
            path.unlink()
    shutil.rmtree(folder / _STAGING, ignore_errors=True)


class FinishedCalls:
    """Which calls stand in the shards of `manifest`. Pickles; keeps a few row groups of ids."""

    # (shard, row group, first call id, last call id); shards are sorted by call id.
    _bounds: list[tuple[str, int, str, str]] | None
    _ids: Callable[[str, int], frozenset[str]]

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._names = tuple(shard.name for shard in manifest.call_shards)
        self._reset()

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_names": self._names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def among(self, call_ids: Collection[str]) -> set[str]:
        """Those of `call_ids` that are finished."""
        if not call_ids or not self._names:
            return set()
        if self._bounds is None:
            self._bounds = list(self._read_bounds())
        wanted = set(call_ids)
        low, high = min(wanted), max(wanted)
        found: set[str] = set()
        for name, group, first, last in self._bounds:
            if first <= high and low <= last:
                found |= wanted & self._ids(name, group)
        return found

    def _reset(self) -> None:
        self._bounds = None
        self._ids = lru_cache(maxsize=_CACHED_GROUPS)(self._read_ids)

    def _read_bounds(self) -> Iterator[tuple[str, int, str, str]]:
        for name in self._names:
            for group in range(pq.ParquetFile(self._folder / name).num_row_groups):
                ids = self._read_ids(name, group)
                yield name, group, min(ids), max(ids)

    def _read_ids(self, name: str, group: int) -> frozenset[str]:
        file = pq.ParquetFile(self._folder / name)
        return frozenset(file.read_row_group(group, columns=["call_id"])["call_id"].to_pylist())
