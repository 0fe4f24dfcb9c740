"""What an agent's feedback is worth, 0 to 100, and whether the pair is learned from or against.

The agent's word stands before what was done. What the call came to is added for scripts that were
said: of one that was dismissed it tells nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.conversation import Action, Outcome, Rating

if TYPE_CHECKING:
    from persona_ray.config.assist import FeedbackConfig


def score(
    action: Action, rating: Rating | None, outcome: Outcome | None, config: FeedbackConfig
) -> float:
    """Points of feedback; `rating` None: nothing was said, `outcome` None: not known yet."""
    points = config.actions[action.value] if rating is None else config.ratings[rating.value]
    if outcome is not None and action is not Action.DISMISSED:
        points += config.outcomes[outcome.value]
    return min(100.0, max(0.0, points))


def is_sample(points: float, config: FeedbackConfig) -> bool:
    """Whether a pair of so many points is learned from; else it counts as a negative."""
    return points > config.threshold
