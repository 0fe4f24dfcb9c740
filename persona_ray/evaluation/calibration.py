"""Whether probabilities mean what they say: of answers given with 70 %, are 70 % right?

The expected calibration error is that of Guo et al. 2017 ("On Calibration of Modern Neural
Networks", equation 3): answers are sorted into M bins of equal width by their confidence (the
probability of the primary colour), ((m - 1) / M, m / M], and

    ECE = sum over m of |B_m| / n * |accuracy(B_m) - confidence(B_m)|,   M = 15.

With few answers it is too large even for a perfect model, because the bins' accuracies scatter; the
cross entropy beside it has no such bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from persona_ray.evaluation.bootstrap import Estimate, draws, interval, ratio
from persona_ray.evaluation.part import Part
from persona_ray.evaluation.scores import Prediction
from persona_ray.objectives.temperature import Temperature, fit_temperature, tempered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

BINS = 15
# Stands for a probability of 0, whose logarithm nobody could add up.
_LEAST = 1e-300


class Bin(Part):
    """Answers with a confidence in (low, high]."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Estimate


class Reliability(Part):
    """`ece`: expected calibration error; `cross_entropy` in nats. Bins without answers are left
    out."""

    confidence: float
    ece: Estimate
    cross_entropy: Estimate
    bins: tuple[Bin, ...]


class Calibration(Part):
    """Single clips before and after temperature scaling. `gain` is the cross entropy saved by it,
    below 0 where it did harm. More than one of `temperatures`: one for each fold of customers,
    fitted on the others. `note` says why a temperature was not fitted."""

    basis: str
    count: int
    customers: int
    temperatures: tuple[float, ...]
    note: str = ""
    before: Reliability
    after: Reliability
    gain: Estimate


def measure_calibration(
    basis: str,
    before: Sequence[Prediction],
    after: Sequence[Prediction],
    labels: Sequence[str],
    temperatures: Sequence[float],
    note: str = "",
    resamples: int = 1000,
    seed: int = 0,
) -> Calibration:
    """`before` and `after` are of the same clips, in one order; clips without a label are left out.
    Raises ValueError where none has one."""
    rows = [pair for pair in zip(before, after, strict=True) if pair[0].label]
    if not rows:
        raise ValueError("no labelled clip to measure calibration on")
    truth, owner, drawn = _drawn([old for old, _ in rows], labels, resamples, seed)
    old = log_probabilities([row for row, _ in rows], labels)
    new = log_probabilities([row for _, row in rows], labels)
    return Calibration(
        basis=basis,
        count=len(rows),
        customers=drawn.shape[1],
        temperatures=tuple(temperatures),
        note=note,
        before=reliability(old, truth, owner, drawn),
        after=reliability(new, truth, owner, drawn),
        gain=_mean(_surprise(old, truth) - _surprise(new, truth), owner, drawn),
    )


def reliability(
    log_rows: Floats, truth: Ints, owner: Ints, drawn: Ints, bins: int = BINS
) -> Reliability:
    """Of answers `log_rows` (answers, labels) with labels `truth` (answers,), each belonging to
    customer `owner` (answers,) of the resamples `drawn` (resamples, customers)."""
    import numpy as np

    best = log_rows.argmax(axis=1)
    sure = np.exp(log_rows[np.arange(len(best)), best])
    right = (best == truth).astype(float)
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    customers = drawn.shape[1]
    # By customer and bin: answers, those that are right, and the sum of their confidence.
    counts, hits, sums = (
        np.bincount(owner * bins + place, weights=weight, minlength=customers * bins).reshape(
            customers, bins
        )
        for weight in (np.ones(len(best)), right, sure)
    )
    resampled = [(drawn @ part).astype(float) for part in (counts, hits, sums)]
    filled = np.flatnonzero(counts.sum(axis=0))
    accuracy = ratio(hits.sum(axis=0), counts.sum(axis=0))
    resampled_accuracy = ratio(resampled[1], resampled[0])
    return Reliability(
        confidence=float(sure.mean()),
        ece=Estimate(
            value=float(_ece(counts.sum(axis=0), hits.sum(axis=0), sums.sum(axis=0))),
            interval=interval(_ece(*resampled)),
        ),
        cross_entropy=_mean(_surprise(log_rows, truth), owner, drawn),
        bins=tuple(
            Bin(
                low=at / bins,
                high=(at + 1) / bins,
                count=int(counts[:, at].sum()),
                confidence=float(sums[:, at].sum() / counts[:, at].sum()),
                accuracy=Estimate(
                    value=float(accuracy[at]), interval=interval(resampled_accuracy[:, at])
                ),
            )
            for at in filled.tolist()
        ),
    )


def log_probabilities(predictions: Sequence[Prediction], labels: Sequence[str]) -> Floats:
    """(predictions, labels)."""
    import numpy as np

    rows = np.array([[row.probabilities[name] for name in labels] for row in predictions])
    found: Floats = np.log(np.maximum(rows.reshape(len(predictions), len(labels)), _LEAST))
    return found


def with_temperature(
    predictions: Sequence[Prediction], labels: Sequence[str], temperature: float
) -> list[Prediction]:
    """The same predictions with their logits divided by `temperature`; by 1 / T, undone."""
    import numpy as np

    if not predictions:
        return []
    rows = np.exp(tempered(log_probabilities(predictions, labels), temperature))
    return [
        replace(row, probabilities=dict(zip(labels, values, strict=True)))
        for row, values in zip(predictions, rows.tolist(), strict=True)
    ]


def temperature_of(predictions: Sequence[Prediction], labels: Sequence[str]) -> Temperature:
    """Fitted on the labelled among `predictions`."""
    import numpy as np

    rows = [row for row in predictions if row.label]
    targets = np.array([labels.index(row.label) for row in rows], dtype=np.int64)
    return fit_temperature(log_probabilities(rows, labels), targets)


def cross_fitted(
    predictions: Sequence[Prediction], labels: Sequence[str], fold_of: Mapping[str, int]
) -> tuple[list[Prediction], list[Temperature]]:
    """Each customer's predictions with the temperature of the other folds' customers, so that
    nobody's labels choose how sure the answers for them sound. `fold_of` is by customer; the
    temperatures are in the order of the folds."""
    found: list[Prediction | None] = [None] * len(predictions)
    temperatures = []
    for fold in sorted(set(fold_of.values())):
        others = [row for row in predictions if fold_of[row.customer_id] != fold]
        mine = [at for at, row in enumerate(predictions) if fold_of[row.customer_id] == fold]
        fitted = temperature_of(others, labels)
        temperatures.append(fitted)
        changed = with_temperature([predictions[at] for at in mine], labels, fitted.value)
        for at, row in zip(mine, changed, strict=True):
            found[at] = row
    return [row for row in found if row is not None], temperatures


def _drawn(
    rows: Sequence[Prediction], labels: Sequence[str], resamples: int, seed: int
) -> tuple[Ints, Ints, Ints]:
    """Labels and customers (rows,) as numbers, and the resamples of the customers."""
    import numpy as np

    truth = np.array([labels.index(row.label) for row in rows])
    names, owner = np.unique([row.customer_id for row in rows], return_inverse=True)
    return truth, owner, draws(len(names), resamples, seed)


def _ece(counts: Floats, hits: Floats, sums: Floats) -> Floats:
    """(...,) of (..., bins): |accuracy - confidence| of a bin, times its answers, is |hits - sum of
    confidences|."""
    import numpy as np

    found: Floats = ratio(np.abs(hits - sums).sum(axis=-1), counts.sum(axis=-1))
    return found


def _surprise(log_rows: Floats, truth: Ints) -> Floats:
    """(answers,): minus the log-probability of the label."""
    import numpy as np

    found: Floats = -log_rows[np.arange(len(truth)), truth]
    return found


def _mean(values: Floats, owner: Ints, drawn: Ints) -> Estimate:
    import numpy as np

    customers = drawn.shape[1]
    sums = np.bincount(owner, weights=values, minlength=customers)
    counts = np.bincount(owner, minlength=customers).astype(float)
    return Estimate(
        value=float(values.mean()), interval=interval(ratio(drawn @ sums, drawn @ counts))
    )
