"""Calls that go from the results of the archive's recognition, model by model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from persona_ray.corpus.building import STAGING, alone_in
from persona_ray.corpus.compaction import QUARANTINE_COLUMNS, write_quarantine
from persona_ray.corpus.forgetting import Gone, blank, rewrite, sweep
from persona_ray.corpus.manifest import Shard
from persona_ray.corpus.staging import Staging
from persona_ray.files import draft
from persona_ray.launch.archive.folder import (
    CALLS_PREFIX,
    CUSTOMERS,
    RESULTS,
    SENTENCES_PREFIX,
    SUMMARY,
    Results,
    read_results,
    write_results,
)
from persona_ray.launch.archive.tables import staged_row
from persona_ray.types import CallStatus


def forget_results(folder: Path, gone: Gone, expired: bool = False) -> int:
    """Delete what a model's folder holds of customers and calls; how many rows.

    `expired`: calls stay known as recognised, without what they tell, and customers go of whom no
    other is left; the next run sums up the rest. As `forget_calls` it is whole whenever it is
    killed, and ends when it is called again. The summary goes: the next run writes another.
    Raises CorpusError where a run is at work, or a file is damaged.
    """
    with alone_in(folder, "recognition of the archive"):
        rows = _staged(folder, gone)
        if not (folder / RESULTS).is_file():
            return rows
        before = read_results(folder)
        sentences, said = rewrite(
            folder, before.sentence_shards, gone, lambda table: table.filter(gone.stays(table))
        )
        calls, heard = rewrite(
            folder,
            before.call_shards,
            gone,
            lambda table: blank(table, gone) if expired else table.filter(gone.stays(table)),
        )
        after = before.model_copy(update={"sentence_shards": sentences, "call_shards": calls})
        left = _of_calls(folder, calls) if expired else None
        customers = _customers(folder / CUSTOMERS, gone, left)
        if after != before:
            after = _counted(folder, after)
            aside = (r for r in _calls(folder, after) if r["status"] == CallStatus.QUARANTINED)
            write_quarantine(folder, aside)
            (folder / SUMMARY).unlink(missing_ok=True)
            write_results(folder, after)
        sweep(folder, (CALLS_PREFIX, SENTENCES_PREFIX), (*calls, *sentences))
        return rows + said + heard + customers


def _staged(folder: Path, gone: Gone) -> int:
    rows = 0
    for one in (folder / STAGING).glob("*"):
        for path in list(Staging(one).files()):
            call = staged_row(pq.read_schema(path))
            if gone.has(call["customer_id"], call["call_id"]):
                path.unlink()
                path.with_suffix(".tries").unlink(missing_ok=True)
                rows += 1
    return rows


def _customers(path: Path, gone: Gone, left: pa.Array | None) -> int:
    """Customers who go, and those of whom no call is `left`; how many."""
    if not path.is_file():
        return 0
    table = pq.read_table(path, memory_map=False)
    stays = gone.stays(table) if left is None else pc.is_in(table["customer_id"], value_set=left)
    stay = table.filter(stays)
    if stay.num_rows < table.num_rows:
        with draft(path) as written:
            pq.write_table(stay, written, compression="snappy")
    return int(table.num_rows - stay.num_rows)


def _of_calls(folder: Path, shards: Sequence[Shard]) -> pa.Array:
    """Whose calls are in these shards, but for what has expired."""
    ids = [pq.read_table(folder / one.name, columns=["customer_id"]) for one in shards]
    found = {name for table in ids for name in table["customer_id"].to_pylist()}
    return pa.array(sorted(found - {""}), pa.string())


def _counted(folder: Path, results: Results) -> Results:
    counts: Counter[str] = Counter()
    audio_s = 0.0
    for row in _calls(folder, results):
        counts["calls"] += 1
        counts["sentences"] += row["sentences"]
        counts[f"calls_{row['status']}"] += 1
        audio_s += row["audio_s"]
    update = {"counts": dict(sorted(counts.items())), "audio_s": round(audio_s, 3)}
    return results.model_copy(update=update)


def _calls(folder: Path, results: Results) -> Iterator[dict[str, Any]]:
    columns = [*QUARANTINE_COLUMNS, "status", "sentences", "audio_s"]
    for shard in results.call_shards:
        for batch in pq.ParquetFile(folder / shard.name).iter_batches(columns=columns):
            yield from batch.to_pylist()
