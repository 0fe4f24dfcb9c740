"""Plots of calibration, evidence and stopping, as inline SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.evaluation.evidence import Rule
from persona_ray.evaluation.report.drawing import (
    DASHES,
    FIRST,
    INK,
    MUTED,
    SECOND,
    THIRD,
    legend,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from persona_ray.evaluation.calibration import Calibration, Reliability
    from persona_ray.evaluation.evidence import Evidence, EvidenceCurve
    from persona_ray.evaluation.stopping import Stopping

_INKS = {Rule.SUM: FIRST, Rule.PRODUCT: SECOND, Rule.TEMPERED: THIRD}
# A curve of longer evidence has a logarithmic axis.
_LINEAR = 40
# The accuracy of fewer answers jumps about.
_LEAST_ANSWERS = 5


def calibration_plot(calibration: Calibration, name: str) -> str:
    """Reliability before and after temperature scaling, and how many answers are how sure."""
    parts = [("before", SECOND, calibration.before)]
    if any(value != 1 for value in calibration.temperatures):
        parts.append(("after", FIRST, calibration.after))

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 1], [0, 1], color=MUTED, linestyle=DASHES, linewidth=1)
        for at, (when, ink, part) in enumerate(parts):
            _reliability(above, part, ink, f"{when}: ECE {part.ece.value:.0%}")
            width = 0.9 / (15 * len(parts))
            below.bar(
                [(b.low + b.high) / 2 + (at - (len(parts) - 1) / 2) * width for b in part.bins],
                [b.count for b in part.bins],
                width,
                color=ink,
            )
        above.set_title("Share that is right")
        above.set_xlim(0, 1)
        above.set_ylim(0, 1)
        _percent_axis(above)
        legend(above, len(parts))
        below.set_title("Answers")
        below.set_xlabel("confidence: probability of the colour named")
        below.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

    return svg(draw, 5.3, 4.4, name, "Reliability of single clips")


def evidence_plot(evidence: Evidence, name: str) -> str:
    """Accuracy and mean confidence by the sentences heard, for each way to combine them."""
    curves = {curve.rule: curve for curve in evidence.curves}

    def draw(figure: Figure) -> None:
        accuracy, confidence = figure.subplots(2, 1, sharex=True, sharey=True)
        # Dividing by a temperature names no other colour: two curves of accuracy, not three.
        _accuracy(accuracy, curves[Rule.SUM], "sum")
        _accuracy(accuracy, curves[Rule.TEMPERED], "product, tempered")
        accuracy.set_title("Customers named right")
        legend(accuracy, 2)
        for rule, curve in curves.items():
            confidence.plot(
                [point.sentences for point in curve.points],
                [point.confidence for point in curve.points],
                "o-",
                color=_INKS[rule],
                label=rule.value,
                ms=3,
            )
        confidence.set_title("Mean confidence")
        legend(confidence, 3)
        confidence.set_xlabel("sentences heard")
        if curves[Rule.SUM].points[-1].sentences > _LINEAR:
            confidence.set_xscale("log")
            confidence.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        else:
            confidence.xaxis.get_major_locator().set_params(integer=True)
        confidence.set_ylim(0, 1.02)
        for panel in (accuracy, confidence):
            _percent_axis(panel)

    return svg(draw, 5.3, 4.6, name, "Evidence by sentences heard")


def stopping_plot(stopping: Stopping, name: str) -> str:
    """What abstaining and what stopping early cost, a point for each threshold."""

    def draw(figure: Figure) -> None:
        abstain, early = figure.subplots(2, 1, sharey=True)
        for curve in stopping.curves:
            ink, label = _INKS[curve.rule], curve.rule.value
            told = [
                (point.sure_at_end.value, point.accuracy_at_end.value)
                for point in curve.points
                if point.accuracy_at_end is not None
                and point.sure_at_end.value * stopping.customers >= _LEAST_ANSWERS
            ]
            if told:
                abstain.plot(*zip(*told, strict=True), "o-", color=ink, label=label, ms=3)
            early.plot(
                [point.heard.value for point in curve.points],
                [point.insisting.value for point in curve.points],
                "o-",
                color=ink,
                ms=3,
            )
        abstain.set_title("Right, abstaining")
        abstain.set_xlabel("customers who get an answer, everything heard")
        abstain.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        abstain.set_xlim(0, 1.02)
        legend(abstain, 3)
        early.set_title("Right, stopping early")
        early.set_xlabel("sentences heard of a customer, on average")
        early.set_xlim(left=0)
        early.set_ylim(0, 1.02)
        for panel in (abstain, early):
            _percent_axis(panel)

    return svg(draw, 5.3, 5.2, name, "Accuracy against coverage and sentences heard")


def _reliability(axes: Axes, part: Reliability, ink: str, label: str) -> None:
    bins = [b for b in part.bins if b.count >= _LEAST_ANSWERS]
    sure, right = [b.confidence for b in bins], [b.accuracy.value for b in bins]
    axes.plot(sure, right, "o-", color=ink, label=label, ms=4, linewidth=1.2)
    if ink == FIRST:
        for b in bins:
            if b.accuracy.interval is not None:
                axes.plot([b.confidence] * 2, b.accuracy.interval, color=INK, linewidth=0.8)


def _accuracy(axes: Axes, curve: EvidenceCurve, label: str) -> None:
    heard = [point.sentences for point in curve.points]
    right = [point.accuracy.value for point in curve.points]
    ink = _INKS[curve.rule]
    axes.plot(heard, right, "o-", color=ink, label=label, ms=3)
    bounds = [point.accuracy.interval for point in curve.points]
    known = [pair for pair in bounds if pair is not None]
    if len(known) == len(heard):
        low, high = zip(*known, strict=True)
        axes.fill_between(heard, low, high, color=ink, alpha=0.13, linewidth=0)


def _percent_axis(axes: Axes) -> None:
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
