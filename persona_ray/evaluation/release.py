"""Whether a new ranker may answer in place of the champion: by what both would have earned on
pushes to customers that neither has learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from persona_ray.evaluation.bootstrap import Estimate
from persona_ray.evaluation.off_policy import OffPolicy
from persona_ray.evaluation.paired import MIN_CUSTOMERS
from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    from persona_ray.config.assist import RetrainingConfig

Decision = Literal["released", "too_few", "coverage", "no_gain", "mood"]


class Earned(Part):
    """One reward under both rankers; `gain`: of the new one over the champion."""

    champion: OffPolicy
    new: OffPolicy
    gain: Estimate


class ReleaseReport(Part):
    """`accepted`: share of pushes whose script is accepted; `mood`: change of the customer's
    valence up to the next sentence. Both None: there were too few pushes. `why` in words."""

    champion: str
    new: str
    library: str
    pushes: int
    customers: int
    learned: dict[str, int]
    accepted: Earned | None
    mood: Earned | None
    decision: Decision
    why: str

    @property
    def released(self) -> bool:
        return self.decision == "released"


def decide(
    pushes: int,
    customers: int,
    accepted: Earned | None,
    mood: Earned | None,
    config: RetrainingConfig,
) -> tuple[Decision, str]:
    """Released where it is better beyond noise and does no harm; else the first thing in the way.
    `accepted`, `mood` None: they could not be estimated."""
    few = pushes < config.least_samples or customers < MIN_CUSTOMERS
    if few or accepted is None or mood is None:
        return "too_few", (
            f"{pushes} judged pushes to {customers} customers held out, and it takes "
            f"{config.least_samples} (retraining.least_samples) to {MIN_CUSTOMERS}"
        )
    if accepted.new.coverage < config.least_coverage:
        return "coverage", (
            f"{accepted.new.coverage:.0%} of what it would put up was ever tried, and "
            f"retraining.least_coverage asks for {config.least_coverage:.0%}: let more be tried "
            "(choice.explore, choice.candidates)"
        )
    told = f"accepted scripts {_points(accepted.gain)}"
    if _low(accepted.gain) <= 0:
        return "no_gain", f"{told}: no more than the champion's, beyond noise"
    if _low(mood.gain) <= -config.mood_harm:
        return "mood", (
            f"customers' mood {_signed(mood.gain)}: it may fall by {config.mood_harm:g} "
            f"(retraining.mood_harm); {told}"
        )
    return "released", f"{told}, customers' mood {_signed(mood.gain)}"


def _low(estimate: Estimate) -> float:
    return float("-inf") if estimate.interval is None else estimate.interval[0]


def _points(estimate: Estimate) -> str:
    """Of shares: in points of a hundred."""
    scaled = tuple(100 * value for value in estimate.interval or ())
    spread = f" ({scaled[0]:+.1f} to {scaled[1]:+.1f})" if scaled else ""
    return f"{100 * estimate.value:+.1f} points{spread}"


def _signed(estimate: Estimate) -> str:
    bounds = estimate.interval
    spread = f" ({bounds[0]:+.3f} to {bounds[1]:+.3f})" if bounds else ""
    return f"{estimate.value:+.3f}{spread}"
