"""Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks").

The logits of a trained model are divided by one number T, chosen so that the cross entropy on
answers that it did not learn from is least. The order of the labels stays; only how sure the
model sounds changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# Fewer answers than this say too little about how sure a model may sound.
LEAST_ANSWERS = 50
# A best temperature beyond these means that the answers set none.
LOWEST, HIGHEST = 0.05, 100.0
# Logarithm of what stands for a probability of 0.
_FLOOR = -700.0


@dataclass(frozen=True, slots=True)
class Temperature:
    """`value` is 1 where it could not be fitted, and `reason` then says why.

    `before` and `after`: mean cross entropy of the `answers` in nats, with 1 and with `value`.
    """

    value: float
    answers: int
    before: float
    after: float
    reason: str = ""

    def __str__(self) -> str:
        if self.reason:
            return f"1 (not fitted: {self.reason})"
        return (
            f"{self.value:.3g} (cross entropy of {self.answers} answers "
            f"{self.before:.3f} -> {self.after:.3f})"
        )


def fit_temperature(
    logits: Floats,
    targets: Ints,
    weights: Floats | None = None,
    least: int = LEAST_ANSWERS,
    what: str = "clips",
) -> Temperature:
    """The T for which softmax(logits / T) has the least cross entropy.

    `logits` (answers, labels) may be log-probabilities: a constant added to a row changes nothing.
    `targets` (answers,) are indices of labels, `weights` (answers,) how much each answer counts.
    With fewer than `least` answers (`what` says of what), with one label alone, or where the best
    T lies beyond [LOWEST, HIGHEST], T is 1. Raises ValueError for shapes that do not fit and for
    logits that are no numbers.
    """
    import numpy as np

    if logits.ndim != 2 or len(logits) != len(targets):
        raise ValueError(f"logits {logits.shape} do not fit targets {targets.shape}")
    if np.isnan(logits).any() or np.isposinf(logits).any():
        raise ValueError("logits that are no numbers have no temperature")
    if len(targets) == 0:
        return Temperature(1.0, 0, 0.0, 0.0, f"0 {what}, at least {least} are needed")
    shares = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
    shares = shares / shares.sum()
    # Relative to the best label of each row, whose constant does not matter.
    rows = np.maximum(logits - logits.max(axis=1, keepdims=True), _FLOOR)
    before = _cross_entropy(rows, targets, shares, 1.0)

    def unfitted(reason: str) -> Temperature:
        return Temperature(1.0, len(targets), before, before, reason)

    if len(targets) < least:
        return unfitted(f"{len(targets)} {what}, at least {least} are needed")
    if len(np.unique(targets)) < 2:
        return unfitted(f"all {what} have one label")
    # Convex in 1 / T: its slope rises, and is zero where the temperature is best.
    coldest, hottest = 1 / LOWEST, 1 / HIGHEST
    if _slope(rows, targets, shares, coldest) <= 0:
        return unfitted(f"the {what} are named right too surely to set a limit")
    if _slope(rows, targets, shares, hottest) >= 0:
        return unfitted(f"the answers say nothing about the labels of the {what}")
    low, high = hottest, coldest
    while high / low > 1 + 1e-12:
        middle = (low * high) ** 0.5
        if not low < middle < high:
            break
        if _slope(rows, targets, shares, middle) > 0:
            high = middle
        else:
            low = middle
    inverse = (low * high) ** 0.5
    after = _cross_entropy(rows, targets, shares, inverse)
    return Temperature(1 / inverse, len(targets), before, after)


def tempered(log_probabilities: Floats, temperature: float) -> Floats:
    """Log-probabilities (answers, labels), or logits, divided by `temperature` and normalised."""
    import numpy as np

    rows = np.maximum(log_probabilities - log_probabilities.max(axis=1, keepdims=True), _FLOOR)
    rows = rows / temperature
    normalised: Floats = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return normalised


def _cross_entropy(rows: Floats, targets: Ints, shares: Floats, inverse: float) -> float:
    import numpy as np

    scores = tempered(rows, 1 / inverse)
    return float(-(shares * scores[np.arange(len(targets)), targets]).sum())


def _slope(rows: Floats, targets: Ints, shares: Floats, inverse: float) -> float:
    """Derivative of the cross entropy by 1 / T: expected minus actual logit."""
    import numpy as np

    expected = (np.exp(tempered(rows, 1 / inverse)) * rows).sum(axis=1)
    return float((shares * (expected - rows[np.arange(len(targets)), targets])).sum())
