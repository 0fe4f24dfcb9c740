"""Which calls stand in shards already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from persona_ray.corpus.manifest import Shard
from persona_ray.corpus.sealing import reads
from persona_ray.corpus.shards import call_bounds

_CACHED_GROUPS = 8


class FinishedCalls:
    """Which calls stand in `shards` of `folder`. Pickles; keeps a few row groups of ids."""

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        self._folder = folder
        self._shards = tuple(shards)
        self._ids = lru_cache(maxsize=_CACHED_GROUPS)(self._read_ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return FinishedCalls, (self._folder, self._shards)

    def among(self, call_ids: Collection[str]) -> set[str]:
        """Those of `call_ids` that are finished."""
        wanted = set(call_ids)
        if not wanted:
            return set()
        low, high = min(wanted), max(wanted)
        found: set[str] = set()
        for name, group, first, last in self._bounds:
            if first <= high and low <= last:
                found |= wanted & self._ids(name, group)
        return found

    @cached_property
    def _bounds(self) -> list[tuple[str, int, str, str]]:
        """(shard, row group, first call id, last call id)."""
        return [
            (shard.name, *bounds)
            for shard in self._shards
            for bounds in call_bounds(self._file(shard.name))
        ]

    def _file(self, name: str) -> Any:
        return pq.ParquetFile(self._folder / name, **reads(self._folder))

    def _read_ids(self, name: str, group: int) -> frozenset[str]:
        file = self._file(name)
        return frozenset(file.read_row_group(group, columns=["call_id"])["call_id"].to_pylist())
