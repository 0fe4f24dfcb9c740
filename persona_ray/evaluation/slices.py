"""Where the model is better and worse: accuracy of single clips by condition.

Each slice is compared with the rest of its dimension on the same resampled customers. With many
slices some differ by chance: of twenty intervals one is expected to leave 0 out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from persona_ray.evaluation.bootstrap import Estimate, draws, interval, ratio, share
from persona_ray.evaluation.conditions import Condition
from persona_ray.evaluation.part import Part
from persona_ray.evaluation.scores import Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# A slice of fewer says nothing, and its interval, of hardly any customers, too much.
LEAST_CLIPS, LEAST_CUSTOMERS = 15, 3


class Slice(Part):
    """Clips of one condition. `difference`: their accuracy less that of the dimension's others;
    None where these are too few to compare with."""

    name: str
    clips: int
    customers: int
    accuracy: Estimate
    difference: Estimate | None

    @property
    def stands_out(self) -> bool:
        """The interval of the difference leaves 0 out."""
        if self.difference is None or self.difference.interval is None:
            return False
        low, high = self.difference.interval
        return low > 0 or high < 0


class Dimension(Part):
    """What is broken down by. Slices that are too small are left out, and counted."""

    name: str
    slices: tuple[Slice, ...]
    left_out: tuple[str, ...] = Field((), description="names of slices that are too small")
    left_out_clips: int = 0


class Slices(Part):
    """Labelled clips, broken down in every dimension that tells them apart."""

    basis: str
    clips: int
    customers: int
    dimensions: tuple[Dimension, ...]
    alike: tuple[str, ...] = Field((), description="dimensions in which all clips are alike")


def measure_slices(
    basis: str,
    predictions: Sequence[Prediction],
    conditions: Mapping[str, Sequence[Condition]],
    resamples: int = 1000,
    seed: int = 0,
) -> Slices:
    """`conditions` by clip id; clips without a label are left out. Raises ValueError where none has
    one."""
    import numpy as np

    rows = [row for row in predictions if row.label]
    if not rows:
        raise ValueError("no labelled clip to break down")
    names, owner = np.unique([row.customer_id for row in rows], return_inverse=True)
    right = np.array(
        [max(row.probabilities, key=lambda x: row.probabilities[x]) == row.label for row in rows],
        dtype=float,
    )
    judged = _Judged(owner, right, draws(len(names), resamples, seed))
    members: dict[str, dict[Condition, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, row in enumerate(rows):
        for condition in conditions.get(row.clip_id, ()):
            members[condition.dimension][condition].append(at)
    return Slices(
        basis=basis,
        clips=len(rows),
        customers=len(names),
        dimensions=tuple(
            _dimension(name, found, judged) for name, found in members.items() if len(found) > 1
        ),
        alike=tuple(name for name, found in members.items() if len(found) == 1),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """Of each clip its customer's number (clips,) and 1 where it is right (clips,); and the
    resamples of customers."""

    owner: Ints
    right: Floats
    drawn: Ints

    def by_customer(self, places: Sequence[int]) -> tuple[Floats, Floats]:
        """The clips at `places` and those of them that are right, each (customers,)."""
        import numpy as np

        at = np.array(places, dtype=np.int64)
        customers = self.drawn.shape[1]
        counts = np.bincount(self.owner[at], minlength=customers).astype(float)
        hits = np.bincount(self.owner[at], weights=self.right[at], minlength=customers)
        return counts, hits.astype(float)


def _dimension(name: str, found: Mapping[Condition, Sequence[int]], judged: _Judged) -> Dimension:
    """`found`: where the clips of each condition stand."""
    everyone = judged.by_customer([at for places in found.values() for at in places])
    slices, small = [], []
    order = sorted(found.items(), key=lambda pair: (pair[0].rank, -len(pair[1]), pair[0].value))
    for condition, places in order:
        counts, hits = judged.by_customer(places)
        accuracy = share(hits, counts, judged.drawn)
        customers = int((counts > 0).sum())
        if len(places) < LEAST_CLIPS or customers < LEAST_CUSTOMERS or accuracy is None:
            small.append((condition.value, len(places)))
            continue
        others = everyone[0] - counts, everyone[1] - hits
        slices.append(
            Slice(
                name=condition.value,
                clips=len(places),
                customers=customers,
                accuracy=accuracy,
                difference=_difference((counts, hits), others, judged.drawn),
            )
        )
    return Dimension(
        name=name,
        slices=tuple(slices),
        left_out=tuple(value for value, _ in small),
        left_out_clips=sum(count for _, count in small),
    )


def _difference(
    part: tuple[Floats, Floats], others: tuple[Floats, Floats], drawn: Ints
) -> Estimate | None:
    """Of two accuracies, each given as clips and right ones by customer."""
    (counts, hits), (other_counts, other_hits) = part, others
    if other_counts.sum() < LEAST_CLIPS or (other_counts > 0).sum() < LEAST_CUSTOMERS:
        return None
    resampled = ratio(drawn @ hits, drawn @ counts) - ratio(
        drawn @ other_hits, drawn @ other_counts
    )
    value = hits.sum() / counts.sum() - other_hits.sum() / other_counts.sum()
    return Estimate(value=float(value), interval=interval(resampled))
