"""Has the population changed: how sure the last answers are, against those of the evaluation."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Those of the report's calibration: (m - 1) / M to m / M.
CONFIDENCE_BINS = 15
# The drift is of so many answers, and of none before there are enough to tell.
_WINDOW = 1000
_LEAST = 100


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The evaluation of the bundle `digest`: which share of its answers each bin of confidence
    held."""

    digest: str
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.shares) != CONFIDENCE_BINS:
            raise ValueError(f"{len(self.shares)} shares for {CONFIDENCE_BINS} bins of confidence")


class Drift:
    """Of the last answers, those of the bundle that was evaluated: another's say nothing of it."""

    def __init__(self, evaluated: Evaluated | None) -> None:
        """None: there is no evaluation, and no drift to tell."""
        self._evaluated = evaluated
        self._seen: deque[int | None] = deque(maxlen=_WINDOW)

    def see(self, confidence: float, digest: str) -> None:
        """An answer of the bundle `digest`."""
        ours = self._evaluated is not None and self._evaluated.digest == digest
        self._seen.append(confidence_bin(confidence) if ours else None)

    @property
    def index(self) -> float:
        """The population stability index; NaN where too few answers can be compared."""
        counts = Counter(number for number in self._seen if number is not None)
        if self._evaluated is None or counts.total() < _LEAST:
            return math.nan
        return stability_index(self._evaluated.shares, counts)


def confidence_bin(confidence: float) -> int:
    """The number of the bin ((m - 1) / M, m / M] that holds it, from 0."""
    return min(CONFIDENCE_BINS - 1, max(0, math.ceil(confidence * CONFIDENCE_BINS - 1e-12) - 1))


def stability_index(reference: Sequence[float], seen: Mapping[int, int]) -> float:
    """Population stability index, sum of (p - q) ln(p / q), of counts by bin against shares.

    An empty bin counts as half an answer, so that no logarithm is infinite.
    """
    total = sum(seen.values())
    least = 0.5 / total
    index = 0.0
    for number, share in enumerate(reference):
        expected, found = max(share, least), max(seen.get(number, 0) / total, least)
        index += (found - expected) * math.log(found / expected)
    return index
