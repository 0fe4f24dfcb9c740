"""When to stop listening, and when to give no answer, and what either costs.

With a threshold, a customer is listened to until the confidence reaches it; then the answer is
given and the rest is not heard. Who never gets there is either left without an answer (abstain),
which costs coverage, or named after the last sentence all the same (insist), which costs accuracy.
What abstaining alone is worth is told apart: with everything heard, by the confidence at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from persona_ray.evaluation.bootstrap import Estimate, draws, mean, share
from persona_ray.evaluation.evidence import Rule, Speaker, judged
from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# In the order of the table; the plots have every one.
THRESHOLDS = (
    *(round(0.30 + 0.02 * step, 2) for step in range(30)),
    *(0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999),
)
SHOWN = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


class StopPoint(Part):
    """What a threshold gives and costs, over all customers."""

    threshold: float
    answered: Estimate = Field(description="share of customers whose answer was sure enough")
    accuracy: Estimate | None = Field(description="of those answers; none where nobody got one")
    insisting: Estimate = Field(description="accuracy where the others are named at the end")
    heard: Estimate = Field(description="sentences heard of a customer, on average")
    sure_at_end: Estimate = Field(description="share with the threshold's confidence in the end")
    accuracy_at_end: Estimate | None = Field(description="of those; none where there are none")


class StopCurve(Part):
    """One rule; `unstopped` is its accuracy when everything is heard."""

    rule: Rule
    points: tuple[StopPoint, ...]
    unstopped: Estimate


class Stopping(Part):
    """`all_heard`: sentences of a customer, on average, without a threshold."""

    basis: str
    customers: int
    all_heard: float
    curves: tuple[StopCurve, ...]


def measure_stopping(
    basis: str,
    speakers: Sequence[Speaker],
    temperature: Mapping[str, float],
    resamples: int = 1000,
    seed: int = 0,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Stopping:
    """`temperature` of the tempered rule by customer. Raises ValueError without customers."""
    import numpy as np

    if not speakers:
        raise ValueError("no customers to decide on")
    drawn = draws(len(speakers), resamples, seed)
    targets = np.array([speaker.target for speaker in speakers])
    curves = []
    for rule in Rule:
        tracks = [judged(s, rule, temperature[s.customer_id]) for s in speakers]
        ends = np.stack([track[-1] for track in tracks])
        at_end = (ends.argmax(axis=1) == targets).astype(float)
        points = tuple(_point(one, tracks, ends, targets, drawn) for one in thresholds)
        curves.append(StopCurve(rule=rule, points=points, unstopped=mean(at_end, drawn)))
    return Stopping(
        basis=basis,
        customers=len(speakers),
        all_heard=float(np.mean([len(speaker.log_rows) for speaker in speakers])),
        curves=tuple(curves),
    )


def _point(
    threshold: float, tracks: Sequence[Floats], ends: Floats, targets: Ints, drawn: Ints
) -> StopPoint:
    """`tracks`: of each customer, log-probabilities after each sentence (sentences, labels);
    `ends` (customers, labels): the last of each."""
    import numpy as np

    stops = [stop(track, threshold) for track in tracks]
    sure = np.array([found is not None for found in stops], dtype=float)
    heard = [
        len(track) if found is None else found for found, track in zip(stops, tracks, strict=True)
    ]
    named = np.array([track[last - 1].argmax() for track, last in zip(tracks, heard, strict=True)])
    right = (named == targets).astype(float)
    at_end = (ends.argmax(axis=1) == targets).astype(float)
    sure_at_end = (np.exp(ends.max(axis=1)) >= threshold).astype(float)
    return StopPoint(
        threshold=threshold,
        answered=mean(sure, drawn),
        accuracy=share(right * sure, sure, drawn),
        insisting=mean(right, drawn),
        heard=mean(np.array(heard, dtype=float), drawn),
        sure_at_end=mean(sure_at_end, drawn),
        accuracy_at_end=share(at_end * sure_at_end, sure_at_end, drawn),
    )


def stop(track: Floats, threshold: float) -> int | None:
    """After how many sentences (from 1) of `track` (sentences, labels), log-probabilities, the
    confidence first reaches `threshold`; None if never."""
    import numpy as np

    reached = np.flatnonzero(np.exp(track.max(axis=1)) >= threshold)
    return int(reached[0]) + 1 if len(reached) else None
