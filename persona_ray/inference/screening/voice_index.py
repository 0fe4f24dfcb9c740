"""Exact search among up to a million voiceprints in memory, on one processor core.

Reading every vector as float32 takes a core longer than a caller should wait, so the vectors are
scanned as int8 (256 bytes of each), and what the rounding can have hidden is looked at again in
full. Rounding is bounded (Cauchy-Schwarz on the two errors), so the answer is proven to be that of
a full comparison, whatever the vectors are; only how many are looked at again depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

    Floats = NDArray[np.float32]
    # Voiceprints as they are kept, (n, d).
    Kept = NDArray[np.float16]
    Rows = NDArray[np.int64]

# Below this many vectors the full comparison is as quick.
_PLAIN = 8192
# Rows of one product, and of one group whose best is looked at first.
_BLOCK, _GROUP = 1 << 16, 1 << 10
# Above the rounding of float32 sums of unit vectors.
_SUMMING = 1e-5


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A voice and how near it is: the cosine, in [-1, 1]."""

    voice_id: str
    cosine: float


class VoiceIndex(Protocol):
    """Voiceprints by the id of the voice. Safe to use from several threads."""

    def __len__(self) -> int: ...

    @property
    def memory_bytes(self) -> int:
        """Of the vectors; their ids come on top."""
        ...

    def load(self, ids: Sequence[str], vectors: Kept) -> None:
        """Hold these vectors (n, d), unit length, and no others."""
        ...

    def put(self, voice_id: str, vector: Kept) -> None:
        """Add a vector (d,), or put it in the place of the one that the voice had."""
        ...

    def remove(self, voice_id: str) -> None:
        """Forget a voice; nothing where there is none."""
        ...

    def search(self, vector: Samples, count: int) -> list[Neighbour]:
        """The `count` voices nearest to a unit vector (d,), nearest first."""
        ...

    def vectors(self, ids: Sequence[str]) -> Floats:
        """Vectors (n, d) of voices that are there; KeyError for one that is not."""
        ...


class ExactIndex:
    """Implements VoiceIndex without approximation, on what is kept (float16)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._clear(0)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def memory_bytes(self) -> int:
        """See VoiceIndex."""
        scan = 0 if self._scan is None else self._scan.codes.nbytes
        return self._exact.nbytes + scan

    def load(self, ids: Sequence[str], vectors: Kept) -> None:
        """See VoiceIndex. Raises ValueError where an id comes twice."""
        with self._lock:
            # With room for more: growing a million vectors by one takes most of a second.
            self._clear(len(ids) + len(ids) // 16)
            self._exact[: len(ids)] = vectors
            self._ids += ids
            self._rows.update((voice_id, row) for row, voice_id in enumerate(ids))
            if len(self._rows) != len(self._ids):
                raise ValueError("a voice has two vectors")
            self._fit()

    def put(self, voice_id: str, vector: Kept) -> None:
        """See VoiceIndex."""
        with self._lock:
            row = self._rows.get(voice_id, len(self._ids))
            if row == len(self._ids):
                self._grow()
                self._ids.append(voice_id)
                self._rows[voice_id] = row
            self._exact[row] = vector
            if self._scan is None or self._scan.is_worn:
                self._fit()
            else:
                self._scan.write(row, self._exact[row : row + 1])

    def remove(self, voice_id: str) -> None:
        """See VoiceIndex. The last vector takes the place, and its own is overwritten."""
        with self._lock:
            row = self._rows.pop(voice_id, None)
            if row is None:
                return
            last = len(self._ids) - 1
            moved = self._ids.pop()
            if row != last:
                self._ids[row], self._rows[moved] = moved, row
                self._exact[row] = self._exact[last]
            self._exact[last] = 0
            if self._scan is not None:
                self._scan.codes[row] = self._scan.codes[last]
                self._scan.codes[last] = 0

    def search(self, vector: Samples, count: int) -> list[Neighbour]:
        """See VoiceIndex."""
        query = np.asarray(vector, dtype=np.float32)
        with self._lock:
            held = len(self._ids)
            count = min(count, held)
            if count == 0:
                return []
            if self._scan is None:
                rows: Rows = np.arange(held)
            else:
                rows = self._candidates(self._scan, query, count)
            cosines = self._exact[rows].astype(np.float32) @ query
            best = np.argsort(-cosines, kind="stable")[:count]
            return [Neighbour(self._ids[rows[place]], float(cosines[place])) for place in best]

    def vectors(self, ids: Sequence[str]) -> Floats:
        """See VoiceIndex."""
        with self._lock:
            return self._exact[[self._rows[voice_id] for voice_id in ids]].astype(np.float32)

    def looked_at(self, vector: Samples, count: int) -> int:
        """How many vectors a search compares in full, besides the scan."""
        with self._lock:
            if self._scan is None:
                return len(self._ids)
            query = np.asarray(vector, dtype=np.float32)
            return len(self._candidates(self._scan, query, min(count, len(self._ids))))

    def _candidates(self, scan: _Scan, query: Floats, count: int) -> Rows:
        """Rows among which the `count` nearest must be."""
        held = len(self._ids)
        estimates, error = scan.estimates(query, held)
        groups = -(-held // _GROUP)
        tops = np.maximum.reduceat(estimates, np.arange(groups) * _GROUP)
        if groups <= count:
            first = np.argpartition(estimates, held - count)[held - count :]
        else:
            leaders = np.argpartition(tops, groups - count)[groups - count :]
            near = tops[leaders].min()
            first = np.flatnonzero(estimates >= near)[: 4 * count + _GROUP]
        # The count-th best of any rows is a bound that the true ones cannot be below.
        seen = self._exact[first].astype(np.float32) @ query
        floor = np.partition(seen, len(seen) - count)[len(seen) - count]
        rows: Rows = np.flatnonzero(estimates >= scan.estimate_of(float(floor) - error))
        return rows

    def _clear(self, capacity: int) -> None:
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._exact: Kept = np.zeros((max(capacity, 64), self._size), np.float16)
        self._scan: _Scan | None = None

    def _grow(self) -> None:
        """Room for one more vector."""
        capacity = len(self._exact)
        if len(self._ids) < capacity:
            return
        larger: Kept = np.zeros((capacity + max(64, capacity // 4), self._size), np.float16)
        larger[:capacity] = self._exact
        self._exact = larger
        if self._scan is not None:
            self._scan.grow(len(larger))

    def _fit(self) -> None:
        """Make the int8 copy anew, where there are vectors enough for it to pay."""
        held = len(self._ids)
        self._scan = None if held < _PLAIN else _Scan(self._exact, held)


class _Scan:
    """An int8 copy of vectors: x is nearly centre + scales * code."""

    def __init__(self, exact: Kept, held: int) -> None:
        self.codes: NDArray[np.int8] = np.zeros(exact.shape, np.int8)
        self._centre = np.mean(exact[:held], axis=0, dtype=np.float32)
        reach = np.zeros(exact.shape[1], np.float32)
        for start in range(0, held, _BLOCK):
            rows = exact[start : min(start + _BLOCK, held)]
            np.maximum(reach, np.abs(rows - self._centre).max(axis=0), out=reach)
        self._scales = np.maximum(reach, 1e-6) / 127
        # The largest rounding error of a vector, and the longest code.
        self._error = self._length = 0.0
        for start in range(0, held, _BLOCK):
            self.write(start, exact[start : min(start + _BLOCK, held)])
        self._fitted_error = self._error
        # How the numbers of the last query are read.
        self._step, self._offset = 1.0, 0.0

    @property
    def is_worn(self) -> bool:
        """Vectors have come that are not like those the scales were made for."""
        return self._error > 2 * self._fitted_error

    def grow(self, capacity: int) -> None:
        larger: NDArray[np.int8] = np.zeros((capacity, self.codes.shape[1]), np.int8)
        larger[: len(self.codes)] = self.codes
        self.codes = larger

    def write(self, start: int, vectors: Kept) -> None:
        """Copy vectors (n, d) to rows from `start`."""
        ideal = (vectors.astype(np.float32) - self._centre) / self._scales
        rounded = np.clip(np.rint(ideal), -127, 127)
        errors = np.linalg.norm((ideal - rounded) * self._scales, axis=1)
        self._error = max(self._error, float(errors.max()))
        self._length = max(self._length, float(np.linalg.norm(rounded, axis=1).max()))
        self.codes[start : start + len(vectors)] = rounded

    def estimates(self, query: Floats, held: int) -> tuple[NDArray[np.int32], float]:
        """Of the first `held` vectors' cosines, as whole numbers (held,), and by how much a cosine
        can be above the one that `estimate_of` makes such a number of."""
        import torch

        weights = query * self._scales
        self._step = max(float(np.abs(weights).max()), 1e-12) / 127
        self._offset = float(query @ self._centre)
        rounded = np.rint(weights / self._step)
        missed = float(np.linalg.norm(weights - rounded * self._step)) * self._length
        error = missed + self._error * float(np.linalg.norm(query)) + _SUMMING
        # Made by torch: numpy's new axes have stride 0, which the product reads wrongly.
        column = torch.empty((len(rounded), 1), dtype=torch.int8)
        column[:, 0] = torch.from_numpy(rounded.astype(np.int8))
        codes = torch.from_numpy(self.codes)
        out = torch.empty((held, 1), dtype=torch.int32)
        for start in range(0, held, _BLOCK):
            end = min(start + _BLOCK, held)
            # int8 by int8 in int32: reads memory as fast as the processor gives it, with VNNI.
            torch._int_mm(codes[start:end], column, out=out[start:end])
        numbers: NDArray[np.int32] = out.numpy()[:, 0]
        return numbers, error

    def estimate_of(self, cosine: float) -> float:
        """The number that stands for a cosine to the query."""
        return (cosine - self._offset) / self._step


def build_index(kind: str, size: int) -> VoiceIndex:
    """Empty, for voiceprints of `size` numbers; `kind` as in the configuration. Raises
    EngineUnavailableError where its package is missing."""
    if kind == "usearch":
        from persona_ray.inference.screening.voice_index_usearch import UsearchIndex

        return UsearchIndex(size)
    return ExactIndex(size)
