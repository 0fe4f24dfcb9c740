"""Has the population changed: the last values seen, against a reference, by bins."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from persona_ray.watch.catalogue import CONFIDENCE_BINS, DRIFTS
from persona_ray.watch.instruments import Instrument

# The drift is of so many values, and of none before there are enough to tell.
WINDOW = 1000
LEAST = 100


class Binned(Protocol):
    """A distribution over bins: the share that each holds, and where a value falls."""

    @property
    def shares(self) -> Sequence[float]: ...

    def number(self, value: float | str) -> int:
        """Of the bin, from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """`against`: whose distribution it is, evaluation or training."""

    against: str
    binned: Binned


@dataclass(frozen=True, slots=True)
class ConfidenceShares:
    """Over the bins of the report's calibration: (m - 1) / M to m / M."""

    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.shares) != CONFIDENCE_BINS:
            raise ValueError(f"{len(self.shares)} shares for {CONFIDENCE_BINS} bins of confidence")

    def number(self, value: float | str) -> int:
        return confidence_bin(float(value))


@dataclass(frozen=True, slots=True)
class NamedShares:
    """Over names, in the order given; all that are not among them share a bin of their own."""

    by_name: Mapping[str, float]

    @property
    def shares(self) -> tuple[float, ...]:
        return (*self.by_name.values(), 0.0)

    def number(self, value: float | str) -> int:
        names = list(self.by_name)
        return names.index(str(value)) if value in names else len(names)


@dataclass(frozen=True, slots=True)
class NumericShares:
    """Over the bins (edges[i - 1], edges[i]], the outer ones open; `shares` are one more."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.edges) + 1 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"{len(self.shares)} shares for the edges {self.edges}")

    def number(self, value: float | str) -> int:
        return bisect_left(self.edges, float(value))


class LastSeen:
    """The last values of one kind, by bin of the reference of whichever model gave them."""

    def __init__(self, window: int | None = WINDOW) -> None:
        """Of the last `window` values; None: of all."""
        self._window = window
        self._seen: deque[tuple[str, int] | None] = deque()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._models: Counter[str] = Counter()

    def see(self, digest: str, number: int | None) -> None:
        """A value of the bundle `digest`; None: it has no reference, and pushes out older ones."""
        new = None if number is None else (digest, number)
        self._count(new, 1)
        if self._window is None:
            return
        self._seen.append(new)
        if len(self._seen) > self._window:
            self._count(self._seen.popleft(), -1)

    @property
    def digest(self) -> str:
        """Of the bundle that gave most of them; empty where none has a reference."""
        return self._models.most_common(1)[0][0] if self._models else ""

    def index(self, shares: Sequence[float]) -> float:
        """The population stability index of what `digest` gave; NaN where that is too little."""
        digest = self.digest
        counts = {number: self._counts[digest, number] for number in range(len(shares))}
        return stability_index(shares, counts) if sum(counts.values()) >= LEAST else math.nan

    def _count(self, one: tuple[str, int] | None, step: int) -> None:
        if one is not None:
            self._counts[one] += step
            self._models[one[0]] += step


Find = Callable[[str], Mapping[Instrument, Reference]]


class Population:
    """What was seen lately, of every kind of drift, against the references of the models.

    `find` gives those of a bundle by its digest, and is asked once for each. `window`: as
    `LastSeen` has it.
    """

    def __init__(self, find: Find, window: int | None = WINDOW) -> None:
        self._find = find
        self._known: dict[str, Mapping[Instrument, Reference]] = {}
        self._seen: dict[Instrument, LastSeen] = {kind: LastSeen(window) for kind in DRIFTS}
        self._told: set[tuple[Instrument, str]] = set()

    def see(self, kind: Instrument, value: float | str, digest: str) -> None:
        """A value of an answer of the bundle `digest`, which may be unknown (empty)."""
        reference = self._references(digest).get(kind)
        self._seen[kind].see(digest, None if reference is None else reference.binned.number(value))

    def told(self) -> Iterator[tuple[Instrument, str, float]]:
        """Kind, what it is told against, and the index. Nothing of a kind before it is known; NaN
        where it was known and is no more: the last value would stand for ever."""
        now: dict[tuple[Instrument, str], float] = dict.fromkeys(self._told, math.nan)
        for kind, seen in self._seen.items():
            reference = self._references(seen.digest).get(kind)
            if reference is not None:
                index = seen.index(reference.binned.shares)
                if not math.isnan(index):
                    now[kind, reference.against] = index
        self._told = set(now)
        for (kind, against), index in now.items():
            yield kind, against, index

    def _references(self, digest: str) -> Mapping[Instrument, Reference]:
        if digest not in self._known:
            self._known[digest] = self._find(digest) if digest else {}
        return self._known[digest]


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
