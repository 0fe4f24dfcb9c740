"""The corpus folder of a build: whose settings it has, what is done, and who works on it."""

from __future__ import annotations

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
from persona_ray.corpus.sealing import KEY, begin_sealing
from persona_ray.corpus.staging import Staging
from persona_ray.errors import CorpusError
from persona_ray.files import locked, write_whole

STAGING = "staging"
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
    with alone_in(folder, "build"):
        if fresh:
            _clear(folder)
        yield _prepare(folder, config)


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes of the kind `what` out of `folder`; CorpusError where one is at work."""
    try:
        with locked(folder / _LOCK):
            yield
    except BlockingIOError:
        raise CorpusError(f"another {what} is at work in {folder}: wait for its end") from None


def _prepare(folder: Path, config: RunConfig) -> CorpusBuild:
    begin_sealing(folder, config)
    settings = corpus_settings(config)
    if (folder / MANIFEST).exists():
        manifest = CorpusDataset.open(folder).manifest
        refuse_changed(folder, "corpus", manifest.settings, settings)
    else:
        manifest = Manifest(settings=settings, settings_hash=settings_hash(settings))
    staging = open_staging(folder, "corpus", settings, manifest.generation)
    return CorpusBuild(folder, manifest, staging)


def open_staging(folder: Path, what: str, settings: dict[str, Any], generation: int) -> Staging:
    """Where calls wait that will be the shards after `generation`; those of a killed run are there.

    CorpusError where a killed first run had other settings; `what` it was making.
    """
    staging = Staging(folder / STAGING / f"{settings_hash(settings)}-{generation:04d}")
    for other in sorted((folder / STAGING).glob("*")):
        if other == staging.folder:
            continue
        note = other / _SETTINGS
        if generation == 0 and note.exists():
            old = json.loads(note.read_text(encoding="utf-8"))
            refuse_changed(folder, f"unfinished {what}", old, settings)
        # A kill came after its calls were in shards, or before it had any.
        shutil.rmtree(other)
    staging.folder.mkdir(parents=True, exist_ok=True)
    write_whole(staging.folder / _SETTINGS, json.dumps(settings, ensure_ascii=False, indent=1))
    return staging


def refuse_changed(folder: Path, what: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises CorpusError, naming the settings, where `old` and `new` differ."""
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
    shutil.rmtree(folder / STAGING, ignore_errors=True)
    (folder / KEY).unlink(missing_ok=True)
