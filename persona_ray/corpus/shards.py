"""Parquet shards of a fixed number of rows, in small row groups for random access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from persona_ray.corpus.manifest import Shard
from persona_ray.corpus.sealing import writes
from persona_ray.files import put_file, sha256_file

CLIPS_PREFIX = "clips"
CALLS_PREFIX = "calls"


class ShardWriter:
    """Writes rows as `prefix-00000.parquet`, `prefix-00001.parquet`, ... behind the shards that
    were there `before`; `shards` has those and the new ones.

    The same rows give the same bytes however they are dealt over `write` calls. A shard appears
    under its name only when it is complete; on an error the unfinished one is removed.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        schema: pa.Schema,
        before: Sequence[Shard],
        *,
        rows_per_shard: int,
        rows_per_group: int,
    ) -> None:
        self._folder = folder
        self._prefix = prefix
        self._schema = schema
        self._rows_per_shard = rows_per_shard
        self._rows_per_group = rows_per_group
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._file: Any = None
        self._file_rows = 0
        self.shards = tuple(before)

    def write(self, table: pa.Table) -> None:
        """Add the rows of `table` (columns of the schema)."""
        if table.num_rows == 0:
            return
        self._waiting.append(table.replace_schema_metadata(None))
        self._waiting_rows += table.num_rows
        while self._waiting_rows >= self._group_size():
            self._write_group(self._group_size())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            if self._file is not None:
                self._file.close()
                self._part().unlink(missing_ok=True)
            return
        if self._waiting_rows:
            self._write_group(self._waiting_rows)
        self._finish_shard()

    def _group_size(self) -> int:
        return min(self._rows_per_group, self._rows_per_shard - self._file_rows)

    def _write_group(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        group, rest = table.slice(0, rows).combine_chunks(), table.slice(rows)
        self._waiting = [rest] if rest.num_rows else []
        self._waiting_rows = rest.num_rows
        if self._file is None:
            self._file = parquet_writer(self._part(), self._schema)
        self._file.write_table(group, row_group_size=rows)
        self._file_rows += rows
        if self._file_rows == self._rows_per_shard:
            self._finish_shard()

    def _finish_shard(self) -> None:
        if self._file is None:
            return
        self._file.close()
        part, path = self._part(), self._folder / self._name()
        put_file(part, path)
        shard = Shard(
            name=path.name,
            rows=self._file_rows,
            size_bytes=path.stat().st_size,
            sha256=sha256_file(path),
        )
        self.shards = (*self.shards, shard)
        self._file = None
        self._file_rows = 0

    def _name(self) -> str:
        return f"{self._prefix}-{len(self.shards):05d}.parquet"

    def _part(self) -> Path:
        return self._folder / f"{self._name()}.part"


def parquet_writer(path: Path, schema: pa.Schema) -> Any:
    """The pyarrow.parquet.ParquetWriter of a shard, sealed where its folder has a data key."""
    # Clip ids and audio never repeat: dictionaries would only cost memory.
    plain = {"clip_id", "audio", "text", "detail", "audio_uri"}
    return pq.ParquetWriter(
        path,
        schema,
        compression="snappy",
        use_dictionary=[name for name in schema.names if name not in plain],
        write_statistics=["call_id"],
        **writes(path.parent),
    )


def call_bounds(file: pq.ParquetFile) -> Iterator[tuple[int, str, str]]:
    """(row group, first and last call id in it): within a build, calls are in order."""
    for group in range(file.num_row_groups):
        metadata = file.metadata.row_group(group)
        columns = (metadata.column(number) for number in range(metadata.num_columns))
        statistics = next(one for one in columns if one.path_in_schema == "call_id").statistics
        if statistics is not None and statistics.has_min_max:
            yield group, statistics.min, statistics.max
        else:
            ids = file.read_row_group(group, columns=["call_id"])["call_id"].to_pylist()
            yield group, min(ids), max(ids)
