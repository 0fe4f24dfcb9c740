"""Staged calls to shards: in order, in constant memory, and all or nothing."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import Manifest, write_manifest
from persona_ray.corpus.records import CallOutcome
from persona_ray.corpus.shards import CALLS_PREFIX, CLIPS_PREFIX, ShardWriter
from persona_ray.corpus.staging import Staging
from persona_ray.corpus.tables import (
    CALL_SCHEMA,
    CLIP_SCHEMA,
    call_table,
    outcome_of,
)
from persona_ray.files import draft
from persona_ray.progress import Stage
from persona_ray.types import CallStatus

QUARANTINE = "quarantine.csv"
QUARANTINE_COLUMNS = ("call_id", "customer_id", "audio_uri", "reason", "detail")
CLIPS_PER_GROUP = 64
_CALLS_PER_SHARD = 65_536
_CALLS_PER_GROUP = 1024


def compact(
    folder: Path, staging: Staging, manifest: Manifest, clips_per_shard: int, stage: Stage
) -> Manifest:
    """Append the calls of `staging` to the corpus in `folder`, then empty the staging.

    Shards of `manifest` stay as they are. New ones count only once the manifest names them: a
    kill before that leaves the old corpus and the whole staging, and a rerun writes the same
    bytes again.
    """
    counts: Counter[str] = Counter(manifest.counts)
    seconds = {name: manifest.seconds.get(name, 0.0) for name in ("audio", "speech", "clips")}
    clip_writer = ShardWriter(
        folder,
        CLIPS_PREFIX,
        CLIP_SCHEMA,
        manifest.clip_shards,
        rows_per_shard=clips_per_shard,
        rows_per_group=CLIPS_PER_GROUP,
    )
    call_writer = ShardWriter(
        folder,
        CALLS_PREFIX,
        CALL_SCHEMA,
        manifest.call_shards,
        rows_per_shard=_CALLS_PER_SHARD,
        rows_per_group=_CALLS_PER_GROUP,
    )
    with clip_writer, call_writer:
        for table in staging.tables():
            outcome = outcome_of(table.schema.metadata)
            clip_writer.write(table)
            call_writer.write(call_table([outcome]))
            count(outcome, counts, seconds)
            stage.advance()
    grown = manifest.model_copy(
        update={
            "generation": manifest.generation + 1,
            "counts": dict(sorted(counts.items())),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "clip_shards": clip_writer.shards,
            "call_shards": call_writer.shards,
        }
    )
    write_set_aside(folder, grown)
    write_manifest(folder, grown)
    staging.remove()
    return grown


def count(outcome: CallOutcome, counts: Counter[str], seconds: dict[str, float]) -> None:
    """Add a call to the figures of a manifest."""
    counts["calls"] += 1
    counts["clips"] += outcome.clips
    counts[f"calls_{outcome.status.value}"] += 1
    if outcome.reason is not None:
        counts[f"quarantined_{outcome.reason.value}"] += 1
    for reason, number in outcome.dropped.items():
        counts[f"dropped_{reason}"] += number
    for flag in outcome.flags:
        counts[f"flag_{flag}"] += 1
    seconds["audio"] += outcome.audio_s
    seconds["speech"] += outcome.speech_s
    seconds["clips"] += outcome.clips_s


def write_set_aside(folder: Path, manifest: Manifest) -> None:
    """quarantine.csv of a corpus."""
    aside = (
        {name: getattr(outcome, name) for name in QUARANTINE_COLUMNS}
        for outcome in CorpusDataset(folder, manifest).calls()
        if outcome.status is CallStatus.QUARANTINED
    )
    write_quarantine(folder, aside)


def write_quarantine(folder: Path, calls: Iterable[Mapping[str, object]]) -> None:
    """quarantine.csv of a folder: the calls that were set aside and why."""
    with (
        draft(folder / QUARANTINE) as written,
        written.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(QUARANTINE_COLUMNS)
        table.writerows([call[name] for name in QUARANTINE_COLUMNS] for call in calls)
