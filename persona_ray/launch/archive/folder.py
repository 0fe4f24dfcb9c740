"""The folder of one model's results: what is done, and who works on it.

recognitions/<first digits of the bundle's digest>/
  recognitions.json          what is here; shards that it does not name are not
  calls-00000.parquet ...    one row for each call, those that were set aside too
  sentences-00000.parquet .. one row for each sentence, in order of time
  customers.parquet          one row for each customer, over all calls
  quarantine.csv             the calls that could not be used and why
  summary.json               coverage, colours, confidence
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from persona_ray.config import RunConfig
from persona_ray.corpus.building import STAGING, alone_in, open_staging, refuse_changed
from persona_ray.corpus.compaction import QUARANTINE
from persona_ray.corpus.manifest import Shard, corpus_settings
from persona_ray.corpus.staging import Staging
from persona_ray.errors import CorpusError
from persona_ray.files import write_whole

RESULTS = "recognitions.json"
CUSTOMERS = "customers.parquet"
SUMMARY = "summary.json"
CALLS_PREFIX, SENTENCES_PREFIX = "calls", "sentences"
# Digits of a bundle's digest that name its folder.
_NAME_DIGITS = 16


class Results(BaseModel):
    """The content of recognitions.json. It holds no times and no paths: same calls and model, same
    bytes. `settings` decide what is recognised; `generation` counts the runs that added calls."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: dict[str, Any]
    labels: tuple[str, ...]
    generation: int = 0
    counts: dict[str, int] = {}
    audio_s: float = 0.0
    sentence_shards: tuple[Shard, ...] = ()
    call_shards: tuple[Shard, ...] = ()


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """A folder that is ready to be added to."""

    path: Path
    results: Results
    staging: Staging


def results_dir(config: RunConfig, fingerprint: str) -> Path:
    """Of the model whose bundle has this digest."""
    return config.recognitions_dir / fingerprint[:_NAME_DIGITS]


@contextmanager
def open_results(
    config: RunConfig, fingerprint: str, labels: tuple[str, ...], *, fresh: bool
) -> Iterator[ResultsFolder]:
    """Make the model's folder ready and keep other runs out of it; `fresh` empties it first.

    CorpusError where another run is at work, or where calls were recognised with other settings.
    """
    path = results_dir(config, fingerprint).absolute()
    path.mkdir(parents=True, exist_ok=True)
    with alone_in(path, "recognition of the archive"):
        if fresh:
            _clear(path)
        settings = {
            **corpus_settings(config),
            "recognition": {"model": fingerprint, "texts": config.recognition.texts},
        }
        results = Results(settings=settings, labels=labels)
        if (path / RESULTS).exists():
            results = read_results(path)
            refuse_changed(path, "recognised archive", results.settings, settings)
        staging = open_staging(path, "recognised archive", settings, results.generation)
        yield ResultsFolder(path, results, staging)


def read_results(path: Path) -> Results:
    """CorpusError where the file is damaged or a shard is missing or cut short."""
    try:
        results = Results.model_validate_json((path / RESULTS).read_bytes())
    except (ValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CorpusError(
            f"{path / RESULTS} cannot be read ({reason}): recognise with --fresh"
        ) from None
    for shard in (*results.sentence_shards, *results.call_shards):
        file = path / shard.name
        if not file.is_file() or file.stat().st_size != shard.size_bytes:
            raise CorpusError(
                f"{file} is missing or damaged: restore it, or recognise with --fresh"
            )
    return results


def write_results(path: Path, results: Results) -> None:
    """Atomic: this is what makes new shards part of the results."""
    write_whole(path / RESULTS, results.model_dump_json(indent=1) + "\n")


def _clear(path: Path) -> None:
    """What a run makes and nothing else, the manifest first: without it, no results."""
    (path / RESULTS).unlink(missing_ok=True)
    for pattern in ("calls-*.parquet*", "sentences-*.parquet*", CUSTOMERS, QUARANTINE, SUMMARY):
        for file in path.glob(pattern):
            file.unlink()
    shutil.rmtree(path / STAGING, ignore_errors=True)
