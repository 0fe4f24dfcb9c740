"""Staged calls to the store and to Parquet: in order, in constant memory, and all or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from persona_ray.corpus.compaction import QUARANTINE_COLUMNS, write_quarantine
from persona_ray.corpus.forgetting import EXPIRED
from persona_ray.corpus.manifest import Shard
from persona_ray.corpus.shards import ShardWriter
from persona_ray.corpus.staging import Staging
from persona_ray.files import draft
from persona_ray.inference.clips import combine
from persona_ray.launch.archive.folder import (
    CALLS_PREFIX,
    CUSTOMERS,
    SENTENCES_PREFIX,
    Results,
    ResultsFolder,
    write_results,
)
from persona_ray.launch.archive.tables import ResultTables, staged_row
from persona_ray.progress import Stage
from persona_ray.store import ArchivedCall, ArchivedCustomer, RecognitionModel, Store
from persona_ray.types import CallStatus, NothingUsable, Recognition

ItemT = TypeVar("ItemT")

_CALLS_PER_SHARD = 65_536
_ROWS_PER_GROUP = 4096
# Calls or customers of one transaction.
_BATCH = 1000
# Why a customer has no colour, where calls were heard and gave no sentence.
NO_SENTENCE = "no usable sentence"


def publish(
    folder: ResultsFolder,
    store: Store,
    model: RecognitionModel,
    tables: ResultTables,
    sentences_per_shard: int,
    stage: Stage,
) -> Results:
    """Append the staged calls to the shards and to the store, and sum up customers anew.

    Shards count only once recognitions.json names them, which is written last. A kill before that
    leaves the staging: a rerun writes the same bytes again, and the store keeps what is the same.
    """
    path, before = folder.path, folder.results
    counts: Counter[str] = Counter(before.counts)
    audio_s = before.audio_s
    sentences = ShardWriter(
        path,
        SENTENCES_PREFIX,
        tables.sentences,
        before.sentence_shards,
        rows_per_shard=sentences_per_shard,
        rows_per_group=_ROWS_PER_GROUP,
    )
    calls = ShardWriter(
        path,
        CALLS_PREFIX,
        tables.calls,
        before.call_shards,
        rows_per_shard=_CALLS_PER_SHARD,
        rows_per_group=_ROWS_PER_GROUP,
    )
    with sentences, calls:
        for batch in _batches(_staged(folder.staging, sentences)):
            calls.write(tables.call_table(batch))
            store.recognitions.save_calls(model, map(tables.call_of, batch))
            for row in batch:
                counts["calls"] += 1
                counts["sentences"] += row["sentences"]
                counts[f"calls_{row['status']}"] += 1
                audio_s += row["audio_s"]
            stage.advance(len(batch))
    grown = before.model_copy(
        update={
            "generation": before.generation + 1,
            "counts": dict(sorted(counts.items())),
            "audio_s": round(audio_s, 3),
            "sentence_shards": sentences.shards,
            "call_shards": calls.shards,
        }
    )
    write_customers(path, store, model, tables)
    write_quarantine(path, _set_aside(path, calls.shards))
    write_results(path, grown)
    folder.staging.remove()
    return grown


def write_customers(
    path: Path, store: Store, model: RecognitionModel, tables: ResultTables
) -> None:
    """Every customer's colour over all calls that the store has of the model."""
    calls = store.recognitions.calls_by_customer(model.fingerprint)
    customers = (customer_over(customer_id, mine) for customer_id, mine in calls)
    with (
        draft(path / CUSTOMERS) as written,
        pq.ParquetWriter(written, tables.customers, compression="snappy") as file,
    ):
        for batch in _batches(customers):
            store.recognitions.save_customers(model, batch)
            file.write_table(tables.customer_table(batch))


def refill(path: Path, results: Results, store: Store, model: RecognitionModel) -> None:
    """Give a store that has nothing of the model what the shards have."""
    tables = ResultTables(results.labels)
    rows = (
        row
        for batch in _rows(path, results.call_shards)
        for row in batch
        if EXPIRED not in row["flags"]
    )
    for batch in _batches(rows):
        store.recognitions.save_calls(model, map(tables.call_of, batch))
    write_customers(path, store, model, tables)


def customer_over(customer_id: str, calls: Sequence[ArchivedCall]) -> ArchivedCustomer:
    """The sum over all sentences of all calls; without one, the reasons of all of them."""
    used = [call.result for call in calls if isinstance(call.result, Recognition)]
    reasons = {call.reason.value if call.reason else NO_SENTENCE for call in calls}
    return ArchivedCustomer(
        customer_id=customer_id,
        result=combine(used) if used else NothingUsable("; ".join(sorted(reasons))),
        calls=len(calls),
        calls_used=len(used),
    )


def _staged(staging: Staging, sentences: ShardWriter) -> Iterator[dict[str, Any]]:
    """Rows of the calls, in the order of their ids; their sentences are written on the way."""
    for table in staging.tables():
        sentences.write(table)
        yield staged_row(table.schema)


def _set_aside(path: Path, shards: Sequence[Shard]) -> Iterator[dict[str, Any]]:
    for rows in _rows(path, shards, [*QUARANTINE_COLUMNS, "status"]):
        for row in rows:
            if row["status"] == CallStatus.QUARANTINED:
                yield row


def _rows(
    path: Path, shards: Sequence[Shard], columns: list[str] | None = None
) -> Iterator[list[dict[str, Any]]]:
    for shard in shards:
        for batch in pq.ParquetFile(path / shard.name).iter_batches(columns=columns):
            yield batch.to_pylist()


def _batches(items: Iterable[ItemT]) -> Iterator[list[ItemT]]:
    remaining = iter(items)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
