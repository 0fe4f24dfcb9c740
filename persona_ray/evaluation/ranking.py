"""How far up a fitting script stands among those that may be said, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.evaluation.bootstrap import Estimate, draws, interval, ratio
from persona_ray.evaluation.paired import RESAMPLES, Figure, Paired
from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FIRST, THREE, RECIPROCAL = "first", "first three", "reciprocal rank"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A customer's turn: the scripts that were put up, the best first, and those that fit."""

    customer: str
    scripts: tuple[str, ...]
    fits: frozenset[str]

    @property
    def place(self) -> int:
        """Of the first that fits, from 1; 0 where none was put up."""
        places = (at for at, script in enumerate(self.scripts, 1) if script in self.fits)
        return next(places, 0)


class RankingRow(Part):
    """Shares of turns whose fitting script stands first or among the first three, and the mean of
    one over its place (0 where it is not there)."""

    name: str
    turns: int
    customers: int
    first: Estimate
    three: Estimate
    reciprocal: Estimate


class RankingTable(Part):
    """The same turns ranked in several ways."""

    of: str
    rows: tuple[RankingRow, ...]

    def row(self, name: str) -> RankingRow:
        return next(row for row in self.rows if row.name == name)


class GapRow(Part):
    """Turns that scripts fit, and the same with those scripts taken out of the library: how often
    something was put up."""

    fitting: Estimate
    taken_out: Estimate


class RankerReport(Part):
    """`counts`: what it was trained and judged on."""

    counts: dict[str, int]
    tables: tuple[RankingTable, ...]
    gaps: GapRow
    epochs: tuple[tuple[float, float, float], ...]
    library: str
    data_fingerprint: str
    seconds: float


def score_ranking(name: str, turns: Sequence[Ranked], resamples: int = 1000) -> RankingRow:
    """With intervals by customer. Raises ValueError without turns."""
    if not turns:
        raise ValueError("no turn to score")
    sums, counts = _by_customer(turns)
    drawn = draws(len(counts), resamples)
    first, three, reciprocal = (
        Estimate(
            value=float(column.sum() / counts.sum()),
            interval=interval(ratio(drawn @ column, drawn @ counts)),
        )
        for column in sums.T
    )
    return RankingRow(
        name=name,
        turns=len(turns),
        customers=len(counts),
        first=first,
        three=three,
        reciprocal=reciprocal,
    )


def share_of(yes: Callable[[Ranked], bool], turns: Sequence[Ranked], resamples: int) -> Estimate:
    """Of turns, with its interval by customer."""
    import numpy as np

    names, group = np.unique([turn.customer for turn in turns], return_inverse=True)
    told = np.array([float(yes(turn)) for turn in turns])
    sums, counts = np.bincount(group, told), np.bincount(group).astype(float)
    drawn = draws(len(names), resamples)
    return Estimate(
        value=float(told.mean()), interval=interval(ratio(drawn @ sums, drawn @ counts))
    )


def compare_ranking(first: Sequence[Ranked], second: Sequence[Ranked]) -> Paired:
    """Two rankers on the same turns; the share among the first three decides. Raises ValueError
    where they are not the same."""
    if not first or [t.customer for t in first] != [t.customer for t in second]:
        raise ValueError("both rankers must have ranked for the same turns, one at least")
    (sums, counts), (others, _) = _by_customer(first), _by_customer(second)
    drawn = draws(len(counts), RESAMPLES)
    figures = []
    for at, name in ((1, THREE), (0, FIRST), (2, RECIPROCAL)):
        difference = ratio(drawn @ (others - sums)[:, at], drawn @ counts)
        one, other = (float(table[:, at].sum() / counts.sum()) for table in (sums, others))
        estimate = Estimate(value=other - one, interval=interval(difference))
        figures.append(Figure(name=name, first=one, second=other, difference=estimate))
    return Paired(customers=len(counts), clips=len(first), figures=tuple(figures))


def _by_customer(turns: Sequence[Ranked]) -> tuple[Floats, Floats]:
    """Sums (customers, 3) of first, first three, reciprocal; turns (customers,)."""
    import numpy as np

    places = np.array([turn.place for turn in turns])
    found = places > 0
    values = np.stack(
        [places == 1, found & (places <= 3), found / np.maximum(places, 1)], axis=1
    ).astype(float)
    names, group = np.unique([turn.customer for turn in turns], return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, group, values)
    return sums, np.bincount(group).astype(float)
