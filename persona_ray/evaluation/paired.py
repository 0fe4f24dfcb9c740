"""Two models on the same clips of customers whom neither has heard.

Both answer for the same resampled customers, so what makes a customer hard for both cancels out:
the interval is of the difference, and far narrower than the two intervals laid side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from persona_ray.evaluation.bootstrap import Estimate, draws, interval
from persona_ray.evaluation.part import Part
from persona_ray.evaluation.scores import Prediction, by_customer, figures_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# Of fewer customers, one model worse on every single one is still chance: 2 x 2^-5 is over 5 %.
MIN_CUSTOMERS = 6
# As many as make the interval's ends stand still; of many customers fewer do, and more fill memory.
RESAMPLES, _LEAST_RESAMPLES, _DRAWS = 10_000, 1000, 10_000_000
DECIDING = "clip accuracy"


class Figure(Part):
    """One figure of both models; `difference` is what the second has more than the first."""

    name: str
    first: float
    second: float
    difference: Estimate


class Paired(Part):
    """Figures over the same `clips` of `customers` customers, the deciding one first."""

    customers: int
    clips: int
    figures: tuple[Figure, ...]

    @property
    def deciding(self) -> Figure:
        return self.figures[0]

    @property
    def second_is_worse(self) -> bool:
        """Beyond noise: the whole 95 % interval of the difference lies below 0."""
        bounds = self.deciding.difference.interval
        return bounds is not None and bounds[1] < 0


def compare_paired(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    labels: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """Raises ValueError where the two are not of the same labelled clips, or there are none."""
    import numpy as np

    firsts = {row.clip_id: row for row in first}
    seconds = {row.clip_id: row for row in second}
    clips = sorted(firsts)
    if not clips or clips != sorted(seconds):
        raise ValueError("both models must have answered for the same clips, one at least")
    names, group = np.unique([firsts[clip].customer_id for clip in clips], return_inverse=True)
    resamples = min(resamples, max(_LEAST_RESAMPLES, _DRAWS // len(names)))
    drawn = draws(len(names), resamples, seed)
    everyone = np.ones((1, len(names)), dtype=np.int64)
    columns = []
    for rows in (firsts, seconds):
        answered = [rows[clip] for clip in clips]
        confusions = _confusions(answered, labels, group, len(names))
        people = by_customer(answered, labels)
        right = np.array([float(_best(p.probabilities, labels) == p.label) for p in people])
        columns.append((_figures(everyone, confusions, right), _figures(drawn, confusions, right)))
    (one, ones), (other, others) = columns
    return Paired(
        customers=len(names),
        clips=len(clips),
        figures=tuple(
            Figure(
                name=name,
                first=float(one[name][0]),
                second=float(other[name][0]),
                difference=Estimate(
                    value=float(other[name][0] - one[name][0]),
                    interval=interval(others[name] - ones[name]),
                ),
            )
            for name in one
        ),
    )


def _confusions(
    rows: Sequence[Prediction], labels: Sequence[str], group: Ints, customers: int
) -> Floats:
    """(customers, labels, labels): truth by answer."""
    import numpy as np

    truth = np.array([labels.index(row.label) for row in rows])
    answer = np.array([labels.index(_best(row.probabilities, labels)) for row in rows])
    found = np.zeros((customers, len(labels), len(labels)))
    np.add.at(found, (group, truth, answer), 1)
    return found


def _figures(drawn: Ints, confusions: Floats, right: Floats) -> dict[str, Floats]:
    """Each (resamples,) of `drawn` (resamples, customers)."""
    import numpy as np

    accuracy, macro_f1, recall = figures_of(np.einsum("rc,cij->rij", drawn, confusions))
    return {
        DECIDING: accuracy,
        "clip macro-F1": macro_f1,
        "clip unweighted recall": recall,
        "customer accuracy": drawn @ right / drawn.sum(axis=1),
    }


def _best(probabilities: Mapping[str, float], labels: Sequence[str]) -> str:
    """Of equals the first in `labels`: both models' ties fall alike."""
    return max(labels, key=lambda label: probabilities[label])
