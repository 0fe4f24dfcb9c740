"""Approximate search for more voices than are scanned in time: a graph (HNSW) of usearch.

Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search using
hierarchical navigable small world graphs" (arXiv 1603.09320).
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.errors import EngineUnavailableError
from persona_ray.inference.screening.voice_index import Neighbour

if TYPE_CHECKING:
    from persona_ray.inference.screening.voice_index import Floats, Kept
    from persona_ray.types import Samples

# Edges of a vertex, and candidates kept while adding and searching: more are exacter and slower.
_EDGES, _ADDING, _SEARCHING = 32, 128, 192


class UsearchIndex:
    """Implements VoiceIndex by approximation: the nearest may be missed. Built by one thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._clear()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def memory_bytes(self) -> int:
        return int(self._graph.memory_usage)

    def load(self, ids: Sequence[str], vectors: Kept) -> None:
        """See VoiceIndex."""
        with self._lock:
            self._clear()
            self._names.update(enumerate(ids))
            self._keys.update((name, key) for key, name in self._names.items())
            if len(self._keys) != len(ids):
                raise ValueError("a voice has two vectors")
            self._next = len(ids)
            if ids:
                self._graph.add(np.arange(len(ids)), np.asarray(vectors), threads=1)

    def put(self, voice_id: str, vector: Kept) -> None:
        """See VoiceIndex."""
        with self._lock:
            self._drop(voice_id)
            # A key of its own each time: one that was removed is still an edge of others.
            key, self._next = self._next, self._next + 1
            self._keys[voice_id], self._names[key] = key, voice_id
            self._graph.add(key, np.asarray(vector), threads=1)

    def remove(self, voice_id: str) -> None:
        """See VoiceIndex."""
        with self._lock:
            self._drop(voice_id)

    def search(self, vector: Samples, count: int) -> list[Neighbour]:
        """See VoiceIndex."""
        query = np.asarray(vector, np.float32)
        with self._lock:
            if not self._keys:
                return []
            found = self._graph.search(query.astype(np.float16), count, threads=1)
            names = [self._names[int(key)] for key in found.keys if int(key) in self._names]
        if not names:
            return []
        cosines = self.vectors(names) @ query
        best = np.argsort(-cosines, kind="stable")
        return [Neighbour(names[place], float(cosines[place])) for place in best]

    def vectors(self, ids: Sequence[str]) -> Floats:
        """See VoiceIndex."""
        with self._lock:
            keys = np.array([self._keys[voice_id] for voice_id in ids])
            return np.asarray(self._graph.get(keys), np.float32).reshape(len(ids), self._size)

    def _drop(self, voice_id: str) -> None:
        key = self._keys.pop(voice_id, None)
        if key is not None:
            del self._names[key]
            self._graph.remove(key)

    def _clear(self) -> None:
        self._graph: Any = _graph(self._size)
        self._keys: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._next = 0


def _graph(size: int) -> Any:
    try:
        from usearch.index import Index
    except ImportError:
        raise EngineUnavailableError(
            "screening.voice.index usearch needs the package usearch: pip install "
            "'persona-ray[ann]', or take exact"
        ) from None
    return Index(
        ndim=size,
        metric="ip",
        dtype="f16",
        connectivity=_EDGES,
        expansion_add=_ADDING,
        expansion_search=_SEARCHING,
    )
