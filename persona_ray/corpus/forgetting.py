"""Calls that go from a corpus for good: rows of shards, staged calls, the list of those set aside.

Shards that hold nothing of them stay as they are. The others are written anew under another name
and count once the manifest names them; then the old files go. A kill before that leaves the old
corpus, a kill after it files that no manifest names: the same call deletes them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from persona_ray.corpus.building import STAGING, alone_in
from persona_ray.corpus.compaction import QUARANTINE, count, write_set_aside
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import MANIFEST, Manifest, Shard, read_manifest, write_manifest
from persona_ray.corpus.sealing import reads
from persona_ray.corpus.shards import CALLS_PREFIX, CLIPS_PREFIX, parquet_writer
from persona_ray.corpus.staging import Staging
from persona_ray.corpus.tables import outcome_of
from persona_ray.corpus.units import TABLE
from persona_ray.files import put_file, settle, sha256_file

_IDS = ("call_id", "customer_id", "detail")
# What a call was that is kept no longer; its id stays, so that no build hears it again.
EXPIRED = "expired"
_BLANK: dict[str, object] = {
    **dict.fromkeys(("customer_id", "audio_uri", "transcript_source"), ""),
    **dict.fromkeys(("clips", "sentences"), 0),
    **dict.fromkeys(("primary", "secondary"), None),
    "detail": EXPIRED,
    "words": [],
    "dropped": [],
    "flags": [EXPIRED],
}
Change = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True)
class Gone:
    """Whose rows go: of these customers, and of these calls."""

    customers: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()

    def has(self, customer_id: str, call_id: str) -> bool:
        return customer_id in self.customers or call_id in self.calls

    def stays(self, table: pa.Table) -> Any:
        """A mask over rows of a table with a customer_id and, where it has it, a call_id."""
        hit = pc.is_in(table["customer_id"], value_set=pa.array(self.customers, pa.string()))
        if "call_id" in table.column_names:
            calls = pa.array(self.calls, pa.string())
            hit = pc.or_(hit, pc.is_in(table["call_id"], value_set=calls))
        if "detail" in table.column_names:
            # Of a call that rows give to several customers, it names them all.
            for customer in self.customers:
                named = pc.match_substring(table["detail"], repr(customer))
                hit = pc.or_(hit, pc.fill_null(named, False))
        return pc.invert(hit)


@dataclass(frozen=True, slots=True)
class Traces:
    """By what calls and clips that go are known elsewhere: ids, where the audio of calls is, the
    SHA-256 of clips' audio and text, what was said."""

    calls: frozenset[str]
    uris: frozenset[str]
    clips: frozenset[str]
    digests: frozenset[str]
    texts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Deleted:
    """So many clips and calls."""

    clips: int = 0
    calls: int = 0


def traces(folder: Path, gone: Gone) -> Traces:
    """Of a corpus's clips and calls; none where there is no corpus. Raises CorpusError."""
    calls, uris = set(gone.calls), set[str]()
    clips, digests, texts = set[str](), set[str](), set[str]()
    outcomes = [
        outcome_of(pq.read_schema(path, **reads(folder)).metadata) for path in _staged(folder)
    ]
    if (folder / MANIFEST).is_file():
        dataset = CorpusDataset.open(folder)
        for info in dataset.infos():
            if gone.has(info.customer_id, info.call_id):
                calls.add(info.call_id)
                clips.add(info.clip_id)
                texts.add(info.text)
                digests |= {dataset.digest(info.clip_id), _sha256(info.text)}
        outcomes += [one for one in dataset.calls() if gone.has(one.customer_id, one.call_id)]
    for outcome in outcomes:
        if gone.has(outcome.customer_id, outcome.call_id):
            calls.add(outcome.call_id)
            uris.add(outcome.audio_uri)
    return Traces(*map(frozenset, (calls, uris, clips, digests, texts)))


def forget_calls(folder: Path, gone: Gone) -> Deleted:
    """Delete all that a corpus holds of them. Its fingerprint becomes another.

    Raises CorpusError where a build is at work, or a shard is damaged.
    """
    return _rewritten(folder, gone, lambda table: table.filter(gone.stays(table)))


def expire_calls(folder: Path, calls: frozenset[str]) -> Deleted:
    """Delete what was said in calls, and whose they were; that they were heard stays known."""
    gone = Gone(calls=calls)
    return _rewritten(folder, gone, lambda table: blank(table, gone))


def _rewritten(folder: Path, gone: Gone, change: Change) -> Deleted:
    if not folder.is_dir():
        return Deleted()
    with alone_in(folder, "build"):
        for path in _staged(folder):
            outcome = outcome_of(pq.read_schema(path, **reads(folder)).metadata)
            if gone.has(outcome.customer_id, outcome.call_id):
                path.unlink()
                path.with_suffix(".tries").unlink(missing_ok=True)
        if not (folder / MANIFEST).is_file():
            return Deleted()
        before = read_manifest(folder)
        clips, clip_rows = rewrite(
            folder, before.clip_shards, gone, lambda table: table.filter(gone.stays(table))
        )
        calls, call_rows = rewrite(folder, before.call_shards, gone, change)
        after = before.model_copy(update={"clip_shards": clips, "call_shards": calls})
        if after != before:
            after = _counted(folder, after)
            write_set_aside(folder, after)
            write_manifest(folder, after)
        sweep(folder, (CLIPS_PREFIX, CALLS_PREFIX), (*clips, *calls))
        settle(folder / QUARANTINE)
        return Deleted(clip_rows, call_rows)


def forget_units(folder: Path, clips: frozenset[str]) -> int:
    """Delete units of these clips, with all that were made with them: a build anew makes others.
    How many folders."""
    deleted = 0
    for table in sorted((folder / "units").glob(f"*/{TABLE}")):
        ids = pq.read_table(table, columns=["clip_id"])["clip_id"].to_pylist()
        if not clips.isdisjoint(ids):
            shutil.rmtree(table.parent)
            deleted += 1
    return deleted


def rewrite(
    folder: Path, shards: Sequence[Shard], gone: Gone, change: Change
) -> tuple[tuple[Shard, ...], int]:
    """The shards with `change` done to those row groups that hold something that goes, and how
    many rows were. One that has nothing left stays, empty: later ones are named by their number."""
    found: list[Shard] = []
    rows = 0
    for shard in shards:
        file = pq.ParquetFile(folder / shard.name, **reads(folder))
        hit = [_hits(file, group, gone) for group in range(file.num_row_groups)]
        if not any(hit):
            found.append(shard)
            continue
        rows += sum(hit)
        part = folder / f"{shard.name}.part"
        left = 0
        with parquet_writer(part, file.schema_arrow) as writer:
            for group, hits in enumerate(hit):
                table = file.read_row_group(group)
                table = change(table) if hits else table
                left += table.num_rows
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows)
        found.append(_put(folder, shard, part, left))
    return tuple(found), rows


def unexpired(folder: Path, shards: Sequence[Shard]) -> frozenset[str]:
    """Ids of the calls in shards of calls of which more than the id is kept."""
    found: set[str] = set()
    for shard in shards:
        table = pq.read_table(folder / shard.name, columns=["call_id", "flags"], **reads(folder))
        rows = table.to_pylist()
        found |= {row["call_id"] for row in rows if EXPIRED not in (row["flags"] or ())}
    return frozenset(found)


def sweep(folder: Path, prefixes: Sequence[str], kept: Sequence[Shard]) -> None:
    """Delete shards that no manifest names any more."""
    names = {shard.name for shard in kept}
    for prefix in prefixes:
        for path in folder.glob(f"{prefix}-*.parquet*"):
            if path.name not in names:
                path.unlink(missing_ok=True)


def blank(table: pa.Table, gone: Gone) -> pa.Table:
    """Rows that go without what they tell, but for the call's id, its status and its times."""
    rows = table.to_pylist()
    for row in rows:
        if gone.has(row["customer_id"], row["call_id"]):
            row |= {name: value for name, value in _BLANK.items() if name in row}
            row |= {name: None for name in row if name.startswith("p_")}
    return pa.Table.from_pylist(rows, schema=table.schema)


def _hits(file: Any, group: int, gone: Gone) -> int:
    columns = [name for name in _IDS if name in file.schema_arrow.names]
    stays = gone.stays(file.read_row_group(group, columns=columns))
    return int(len(stays) - (pc.sum(stays).as_py() or 0))


def _put(folder: Path, shard: Shard, part: Path, rows: int) -> Shard:
    """Named by its content, so that a rerun writes the same file; its time is the build's, by
    which its age is told."""
    before = (folder / shard.name).stat()
    digest = sha256_file(part)
    prefix, number, *_ = shard.name.removesuffix(".parquet").split("-")
    path = folder / f"{prefix}-{number}-{digest[:8]}.parquet"
    os.utime(part, (before.st_atime, before.st_mtime))
    put_file(part, path)
    size = path.stat().st_size
    return Shard(name=path.name, rows=rows, size_bytes=size, sha256=digest)


def _counted(folder: Path, manifest: Manifest) -> Manifest:
    counts: Counter[str] = Counter()
    seconds = dict.fromkeys(("audio", "speech", "clips"), 0.0)
    for outcome in CorpusDataset(folder, manifest).calls():
        count(outcome, counts, seconds)
    return manifest.model_copy(
        update={
            "counts": dict(sorted(counts.items())),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        }
    )


def _staged(folder: Path) -> list[Path]:
    """Files of calls that wait for their shards, of any settings."""
    return [path for one in (folder / STAGING).glob("*") for path in Staging(one).files()]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
