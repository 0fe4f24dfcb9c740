"""The corpus folder of a build: whose settings it has, what is done, and who works on it."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_ray.config import RunConfig
from persona_ray.corpus.compaction import QUARANTINE
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import (
    MANIFEST,
    Manifest,
    changed_settings,
    corpus_settings,
    settings_hash,
)
from persona_ray.corpus.staging import Staging
from persona_ray.errors import CorpusError
from persona_ray.files import write_whole

_STAGING = "staging"
_SETTINGS = "settings.json"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class CorpusBuild:
    """A corpus folder that is ready to be added to."""

    folder: Path
    manifest: Manifest
    staging: Staging


@contextmanager
def open_build(config: RunConfig, fresh: bool = False) -> Iterator[CorpusBuild]:
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


def _prepare(folder: Path, settings: dict[str, Any]) -> CorpusBuild:
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
        note = other / _SETTINGS
        if manifest.generation == 0 and note.exists():
            old = json.loads(note.read_text(encoding="utf-8"))
            _check_settings(folder, "unfinished corpus", old, settings)
        # A kill came after its calls were in shards, or before it had any.
        shutil.rmtree(other)
    staging.folder.mkdir(parents=True, exist_ok=True)
    write_whole(staging.folder / _SETTINGS, json.dumps(settings, ensure_ascii=False, indent=1))
    return CorpusBuild(folder, manifest, staging)


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
