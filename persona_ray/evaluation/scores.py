"""Scores of recognised colours, for single clips and for whole customers.

Intervals come from resampling customers, not clips (`bootstrap`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.evaluation.bootstrap import Estimate, draws, interval, ratio
from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model said of one clip, beside its label."""

    clip_id: str
    customer_id: str
    label: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CustomerPrediction:
    """The sum of the probabilities of a customer's clips, normalised to 1."""

    customer_id: str
    label: str
    probabilities: Mapping[str, float]
    clips: int


class Scores(Part):
    """Scores over `count` things (clips or customers) of `customers` customers.

    `confusion[i][j]` counts things of label i that were recognised as label j, `shares[i][j]` is
    their share of label i (None where nothing has that label). `top_two` is the
    share whose label is the primary or the secondary colour. Macro-F1 averages over the labels
    that occur as truth or as answer, unweighted recall over those that occur as truth.
    """

    labels: tuple[str, ...]
    count: int
    customers: int
    accuracy: Estimate
    macro_f1: Estimate
    unweighted_recall: Estimate
    top_two: Estimate
    confusion: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[Estimate | None, ...], ...] = ()

    @property
    def chance(self) -> float:
        """Accuracy of guessing evenly."""
        return 1 / len(self.labels)

    @property
    def right(self) -> int:
        return sum(self.confusion[i][i] for i in range(len(self.labels)))


def score_clips(
    predictions: Sequence[Prediction], labels: Sequence[str], resamples: int = 1000, seed: int = 0
) -> Scores:
    """Scores of single clips. Raises ValueError without predictions or for an unknown label."""
    return _score(
        [p.label for p in predictions],
        [p.probabilities for p in predictions],
        [p.customer_id for p in predictions],
        labels,
        resamples,
        seed,
    )


def score_customers(
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    customer_labels: Mapping[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Scores of whole customers; see `by_customer` for what a customer's label is."""
    customers = by_customer(predictions, labels, customer_labels)
    return _score(
        [c.label for c in customers],
        [c.probabilities for c in customers],
        [c.customer_id for c in customers],
        labels,
        resamples,
        seed,
    )


def by_customer(
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    customer_labels: Mapping[str, str] | None = None,
) -> list[CustomerPrediction]:
    """Sum the clips of each customer, customers in order of their id.

    A customer's label is `customer_labels[customer_id]`; without that map it is the `majority` of
    the clips' labels.
    """
    grouped: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        grouped[prediction.customer_id].append(prediction)
    result = []
    for customer_id, clips in sorted(grouped.items()):
        label = (
            majority([clip.label for clip in clips], labels)
            if customer_labels is None
            else customer_labels[customer_id]
        )
        sums = {name: sum(clip.probabilities[name] for clip in clips) for name in labels}
        total = sum(sums.values())
        result.append(
            CustomerPrediction(
                customer_id, label, {name: sums[name] / total for name in labels}, len(clips)
            )
        )
    return result


def majority(found: Iterable[str], labels: Sequence[str]) -> str:
    """The label that is found most often, of equals the first in `labels`."""
    votes = Counter(found)
    return max(labels, key=lambda name: votes[name])


def _score(
    truth: Sequence[str],
    probabilities: Sequence[Mapping[str, float]],
    customers: Sequence[str],
    labels: Sequence[str],
    resamples: int,
    seed: int,
) -> Scores:
    import numpy as np

    if not truth:
        raise ValueError("no predictions to score")
    if unknown := sorted(set(truth) - set(labels)):
        raise ValueError(f"labels {unknown} are not among {list(labels)}")
    expected = np.array([labels.index(name) for name in truth])
    matrix = np.array([[row[name] for name in labels] for row in probabilities])
    # A stable order, so that equal probabilities go to the first label, as in Recognition.primary.
    ranking = np.argsort(-matrix, axis=1, kind="stable")
    answer = ranking[:, 0]
    in_top_two = (ranking[:, :2] == expected[:, None]).any(axis=1)
    names, group = np.unique(np.array(customers), return_inverse=True)
    by_group = np.zeros((len(names), len(labels), len(labels)))
    np.add.at(by_group, (group, expected, answer), 1)
    confusion = by_group.sum(axis=0)
    values = [*(float(one) for (one,) in figures_of(confusion[None])), float(in_top_two.mean())]
    hits = np.bincount(group, weights=in_top_two, minlength=len(names))
    drawn = draws(len(names), resamples, seed)
    # A resample's confusion matrix is the weighted sum of the customers' own, so thousands of
    # resamples cost one product: (resamples, customers) x (customers, labels, labels).
    confusions = np.einsum("rc,cij->rij", drawn, by_group)
    resampled = (*figures_of(confusions), ratio(drawn @ hits, confusions.sum(axis=(1, 2))))
    estimates = [
        Estimate(value=value, interval=interval(figure))
        for value, figure in zip(values, resampled, strict=True)
    ]
    return Scores(
        labels=tuple(labels),
        count=len(truth),
        customers=len(names),
        accuracy=estimates[0],
        macro_f1=estimates[1],
        unweighted_recall=estimates[2],
        top_two=estimates[3],
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        shares=_shares(confusion, confusions),
    )


def _shares(confusion: Floats, drawn: Floats) -> tuple[tuple[Estimate | None, ...], ...]:
    """Rows of `confusion` (labels, labels) as shares, with the intervals of its resamples `drawn`
    (resamples, labels, labels)."""
    import numpy as np

    shares = ratio(drawn, np.broadcast_to(drawn.sum(axis=2, keepdims=True), drawn.shape))
    return tuple(
        tuple(
            Estimate(value=float(count / row.sum()), interval=interval(shares[:, i, j]))
            if row.sum()
            else None
            for j, count in enumerate(row)
        )
        for i, row in enumerate(confusion)
    )


def figures_of(confusions: Floats) -> tuple[Floats, Floats, Floats]:
    """Accuracy, macro-F1 and unweighted recall, each (matrices,), of (matrices, labels, labels).

    Labels that do not occur are left out of the averages, as scikit-learn does.
    """
    import numpy as np

    right = np.einsum("rii->ri", confusions)
    truths, answers = confusions.sum(axis=2), confusions.sum(axis=1)
    f1 = 2 * right / np.maximum(truths + answers, 1e-12)
    recall = right / np.maximum(truths, 1e-12)
    occurs, occurs_in_truth = truths + answers > 0, truths > 0
    return (
        right.sum(axis=1) / confusions.sum(axis=(1, 2)),
        (f1 * occurs).sum(axis=1) / occurs.sum(axis=1),
        (recall * occurs_in_truth).sum(axis=1) / occurs_in_truth.sum(axis=1),
    )
