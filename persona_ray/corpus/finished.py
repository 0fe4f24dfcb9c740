"""Which calls a corpus has already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from persona_ray.corpus.manifest import Manifest

_CACHED_GROUPS = 8


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
