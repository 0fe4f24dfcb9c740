"""Intervals from resampling customers.

A customer is drawn with all that is known of the customer, because the clips of one customer are
alike: resampling them one by one would promise more certainty than there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CONFIDENCE = 0.95


class Estimate(Part):
    """A figure with its 95 % interval; without resampling there is no interval."""

    value: float
    interval: tuple[float, float] | None = None


def draws(customers: int, resamples: int, seed: int = 0) -> Ints:
    """(resamples, customers): how often each customer stands in each resample."""
    import numpy as np

    random = np.random.default_rng(seed)
    drawn: Ints = random.multinomial(customers, np.full(customers, 1 / customers), resamples)
    return drawn


def interval(figures: Floats) -> tuple[float, float] | None:
    """The percentile interval of a figure's resamples (resamples,); those without the figure (NaN,
    a resample without the label or slice that is asked about) are left out. None of none."""
    import numpy as np

    known = figures[~np.isnan(figures)]
    if len(known) == 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    return float(np.quantile(known, tail)), float(np.quantile(known, 1 - tail))


def mean(values: Floats, drawn: Ints) -> Estimate:
    """The mean of one value for each customer (customers,), with its interval."""
    return Estimate(value=float(values.mean()), interval=interval(drawn @ values / len(values)))


def share(parts: Floats, wholes: Floats, drawn: Ints) -> Estimate | None:
    """The sum of `parts` over the sum of `wholes`, each by customer (customers,), with its
    interval; None where the wholes are nothing."""
    if not wholes.sum():
        return None
    return Estimate(
        value=float(parts.sum() / wholes.sum()),
        interval=interval(ratio(drawn @ parts, drawn @ wholes)),
    )


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    """Element by element; NaN where there is nothing to divide by."""
    import numpy as np

    known = denominator > 0
    found: Floats = np.divide(
        numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=known
    )
    return found
