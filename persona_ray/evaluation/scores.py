"""Scores of recognised colours, for single clips and for whole customers.

Intervals come from resampling customers, not clips: the clips of one customer are alike, and
resampling them one by one would promise more certainty than there is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CONFIDENCE = 0.95


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


class Estimate(Part):
    """A figure between 0 and 1 with its 95 % interval; without resampling there is no interval."""

    value: float
    interval: tuple[float, float] | None = None


class Scores(Part):
    """Scores over `count` things (clips or customers) of `customers` customers.

    `confusion[i][j]` counts things of label i that were recognised as label j. `top_two` is the
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

    A customer's label is `customer_labels[customer_id]`; without that map it is the label that
    most of the customer's clips have (of equals the first in `labels`).
    """
    grouped: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        grouped[prediction.customer_id].append(prediction)
    result = []
    for customer_id, clips in sorted(grouped.items()):
        votes = Counter(clip.label for clip in clips)
        label = (
            customer_labels[customer_id]
            if customer_labels is not None
            else max(labels, key=lambda name: votes[name])
        )
        sums = {name: sum(clip.probabilities[name] for clip in clips) for name in labels}
        total = sum(sums.values())
        result.append(
            CustomerPrediction(
                customer_id, label, {name: sums[name] / total for name in labels}, len(clips)
            )
        )
    return result


def _score(
    truth: Sequence[str],
    probabilities: Sequence[Mapping[str, float]],
    customers: Sequence[str],
    labels: Sequence[str],
    resamples: int,
    seed: int,
) -> Scores:
    import numpy as np
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

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
    everyone = range(len(labels))
    values = (
        float(accuracy_score(expected, answer)),
        float(f1_score(expected, answer, average="macro", zero_division=0)),
        float(recall_score(expected, answer, labels=np.unique(expected), average="macro")),
        float(in_top_two.mean()),
    )
    names, group = np.unique(np.array(customers), return_inverse=True)
    intervals = _intervals(
        expected, answer, in_top_two, group, len(names), len(labels), resamples, seed
    )
    estimates = [
        Estimate(value=value, interval=interval)
        for value, interval in zip(values, intervals, strict=True)
    ]
    return Scores(
        labels=tuple(labels),
        count=len(truth),
        customers=len(names),
        accuracy=estimates[0],
        macro_f1=estimates[1],
        unweighted_recall=estimates[2],
        top_two=estimates[3],
        confusion=tuple(
            tuple(int(n) for n in row)
            for row in confusion_matrix(expected, answer, labels=list(everyone))
        ),
    )


def _intervals(
    expected: Ints,
    answer: Ints,
    in_top_two: NDArray[np.bool_],
    group: Ints,
    groups: int,
    labels: int,
    resamples: int,
    seed: int,
) -> list[tuple[float, float] | None]:
    """Percentile intervals of the four figures over resampled customers.

    A resample's confusion matrix is the weighted sum of the customers' own, so thousands of
    resamples cost one product: (resamples, customers) x (customers, labels, labels).
    """
    import numpy as np

    if resamples == 0:
        return [None] * 4
    confusions = np.zeros((groups, labels, labels))
    np.add.at(confusions, (group, expected, answer), 1)
    hits = np.bincount(group, weights=in_top_two, minlength=groups)
    draws = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), resamples)
    drawn = np.einsum("rc,cij->rij", draws, confusions)
    accuracy, macro_f1, recall = figures_of(drawn)
    top_two = (draws @ hits) / drawn.sum(axis=(1, 2))
    tail = (1 - CONFIDENCE) / 2
    return [
        (float(np.quantile(figure, tail)), float(np.quantile(figure, 1 - tail)))
        for figure in (accuracy, macro_f1, recall, top_two)
    ]


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
