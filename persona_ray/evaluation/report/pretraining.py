"""Continued pretraining in the report, from the curves that its runs left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    from persona_ray.training.pretrain.curve import Curve, CurvePoint


class PretrainingPoint(Part):
    """Means since the point before; `loss` (nats) and `accuracy` of what is masked."""

    epoch: float
    loss: float
    accuracy: float


class OtherTerm(Part):
    """A part of the loss besides the masked one, at the end of the run."""

    name: str
    loss: float
    accuracy: float | None = None


class PretrainingRun(Part):
    """One run. `size` is in `unit`, seen over all epochs, without padding; speeds are of all
    workers together."""

    name: str
    unit: Literal["tokens", "audio_s"]
    updates: int
    epochs: float
    size: float
    size_per_s: float
    padding_share: float
    utilisation: float = Field(description="of the measured peak of a matrix product, by worker")
    wall_s: float
    complete: bool
    points: tuple[PretrainingPoint, ...] = Field(min_length=1)
    others: tuple[OtherTerm, ...] = ()
    units: str = Field("", description="of speech: their kind, and how evenly they are used")

    @property
    def first(self) -> PretrainingPoint:
        return self.points[0]

    @property
    def last(self) -> PretrainingPoint:
        return self.points[-1]


class PretrainingPart(Part):
    """The runs of each encoder in their order: a head first, one iteration after the other."""

    text: tuple[PretrainingRun, ...] = ()
    speech: tuple[PretrainingRun, ...] = ()

    @property
    def runs(self) -> tuple[PretrainingRun, ...]:
        return self.text + self.speech


def pretraining_runs(
    curves: Iterable[Curve], units: Mapping[str, str] | None = None
) -> tuple[PretrainingRun, ...]:
    """Runs without a point yet are left out. `units`: by run, what its units are, in words."""
    named = units or {}
    return tuple(_run(curve, named.get(curve.name, "")) for curve in curves if curve.points)


def thinned(points: Sequence[PretrainingPoint], most: int) -> tuple[PretrainingPoint, ...]:
    """At most `most` points, each the mean of neighbours, at the epoch of the last of them: what a
    plot can show of a long run."""
    step = -(-len(points) // most)
    groups = [points[start : start + step] for start in range(0, len(points), step)]
    return tuple(
        PretrainingPoint(
            epoch=group[-1].epoch,
            loss=sum(point.loss for point in group) / len(group),
            accuracy=sum(point.accuracy for point in group) / len(group),
        )
        for group in groups
    )


def _run(curve: Curve, units: str) -> PretrainingRun:
    points = curve.points
    # A point's figures hold for the time since the point before it.
    spans = [points[0].seconds, *(b.seconds - a.seconds for a, b in pairwise(points))]
    sizes = [point.size_per_s * span for point, span in zip(points, spans, strict=True)]
    padded = sum(
        size / (1 - point.padding_share) for point, size in zip(points, sizes, strict=True)
    )
    shown, *rest = curve.last.terms
    return PretrainingRun(
        name=curve.name,
        unit=curve.unit,
        updates=curve.last.update,
        epochs=curve.last.epoch,
        size=sum(sizes),
        size_per_s=median(point.size_per_s for point in points),
        padding_share=1 - sum(sizes) / padded if padded else 0.0,
        utilisation=median(point.utilisation for point in points),
        wall_s=curve.last.seconds,
        complete=curve.complete,
        units=units,
        points=tuple(_point(point, shown) for point in points),
        others=tuple(
            OtherTerm(
                name=term, loss=curve.last.terms[term], accuracy=curve.last.accuracy.get(term)
            )
            for term in rest
        ),
    )


def _point(point: CurvePoint, term: str) -> PretrainingPoint:
    return PretrainingPoint(
        epoch=point.epoch, loss=point.terms[term], accuracy=point.accuracy[term]
    )
