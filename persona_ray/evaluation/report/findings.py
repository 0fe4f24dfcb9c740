"""What calibration, evidence, stopping, slices and layers show, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from persona_ray.evaluation.evidence import Rule
from persona_ray.evaluation.report.words import percent, signed
from persona_ray.evaluation.slices import LEAST_CLIPS, LEAST_CUSTOMERS

if TYPE_CHECKING:
    from persona_ray.evaluation.calibration import Calibration
    from persona_ray.evaluation.evidence import Evidence, EvidenceCurve
    from persona_ray.evaluation.report.data import TrainingRun
    from persona_ray.evaluation.slices import Slices
    from persona_ray.evaluation.stopping import Stopping

__all__ = (
    "LEAST_CLIPS",
    "LEAST_CUSTOMERS",
    "calibration_finding",
    "evidence_finding",
    "layers_finding",
    "slices_finding",
    "stopping_finding",
    "temperatures",
)

# The threshold that the words speak of; the tables have others.
_THRESHOLD = 0.8


def temperatures(values: Sequence[float], note: str) -> str:
    """`Temperature 1.43.`, or of folds `Temperatures 1.21 to 1.64, ...`; why, if not fitted."""
    if len(values) == 1:
        text = f"Temperature {values[0]:.2f}"
    else:
        text = f"Temperatures {min(values):.2f} to {max(values):.2f}, one for each fold"
    return f"{text} (not fitted: {note})." if note else f"{text}."


def calibration_finding(parts: Sequence[Calibration]) -> str:
    """Of the set of answers with the most customers."""
    found = max(parts, key=lambda part: part.customers)
    before, after = found.before, found.after
    right = sum(b.accuracy.value * b.count for b in before.bins) / found.count
    text = (
        f"As the model gives them, answers for single clips are {percent(before.confidence)} sure "
        f"and {percent(right)} right"
    )
    if all(value == 1 for value in found.temperatures):
        return f"{text}. No temperature was fitted: {found.note}."
    text += (
        f"; with a fitted temperature they are {percent(after.confidence)} sure, and the expected "
        f"calibration error goes from {percent(before.ece.value, 1)} to "
        f"{percent(after.ece.value, 1)}."
    )
    return f"{text} {_GAINS[_side(found.gain.interval)]}"


_GAINS = {
    1: "The cross entropy falls beyond noise.",
    0: "Whether that is a gain cannot be told with these customers.",
    -1: "Yet the cross entropy rises: the temperature does not fit these customers.",
}


def evidence_finding(parts: Sequence[Evidence]) -> str:
    """How accuracy grows, and what the ways to combine sentences claim."""
    found = max(parts, key=lambda part: part.customers)
    curves = {curve.rule: curve for curve in found.curves}
    points = curves[Rule.SUM].points
    text = f"After one sentence {percent(points[0].accuracy.value)} of customers are named right"
    if len(points) > 6:
        text += f", after five {percent(points[4].accuracy.value)}"
    text += f", after all {percent(points[-1].accuracy.value)} (probabilities added up)."
    claims = ", ".join(f"{rule.value} {_claim(curves[rule])}" for rule in Rule)
    return f"{text} How sure each way is at the end, and how often right: {claims}."


def stopping_finding(parts: Sequence[Stopping]) -> str:
    """What one threshold gives and costs under the tempered rule."""
    found = max(parts, key=lambda part: part.customers)
    curve = next(curve for curve in found.curves if curve.rule is Rule.TEMPERED)
    point = min(curve.points, key=lambda p: abs(p.threshold - _THRESHOLD))
    text = (
        f"Asking for {percent(point.threshold)} confidence (tempered) answers "
        f"{percent(point.answered.value)} of customers"
    )
    if point.accuracy is not None:
        text += f", {percent(point.accuracy.value)} of them right"
    return (
        f"{text}, after {point.heard.value:.1f} of {found.all_heard:.1f} sentences on average. "
        f"Naming the others too is right for {percent(point.insisting.value)} of all, hearing "
        f"everything for {percent(curve.unstopped.value)}."
    )


def slices_finding(found: Slices) -> str:
    """Which slices differ from the others beyond noise."""
    shown = [(d.name, part) for d in found.dimensions for part in d.slices]
    out = [
        f"{name}: {part.name}, {signed(part.difference)}" for name, part in shown if part.stands_out
    ]
    if not shown:
        return "No slice is large enough to say anything."
    if not out:
        return f"None of {len(shown)} slices differs from the others of its kind beyond noise."
    return (
        f"Of {len(shown)} slices {len(out)} {'differs' if len(out) == 1 else 'differ'} from the "
        f"others of {'its' if len(out) == 1 else 'their'} kind beyond the noise of one slice, in "
        f"points: {'; '.join(out)}."
    )


def layers_finding(run: TrainingRun) -> str:
    """How even the weights are, and which block speaks most."""
    weights = run.layer_weights
    # The exponential of the entropy: as many blocks, weighted evenly, are as spread out.
    even = math.exp(-sum(w * math.log(w) for w in weights if w > 0))
    text = f"The weights are spread as over {even:.1f} of {len(weights)} blocks"
    if not run.layer_parts:
        return f"{text}."
    part = max(run.layer_parts)
    return (
        f"{text}. Block {run.layer_parts.index(part) + 1} speaks most: {percent(part)} of the "
        "vector that the head sees. Its part depends on how large a block's outputs are, too."
    )


def _claim(curve: EvidenceCurve) -> str:
    last = curve.points[-1]
    return f"{percent(last.confidence)} and {percent(last.accuracy.value)}"


def _side(interval: tuple[float, float] | None) -> int:
    """1 above 0, -1 below, 0 where the interval holds it or there is none."""
    if interval is None:
        return 0
    return (interval[0] > 0) - (interval[1] < 0)
