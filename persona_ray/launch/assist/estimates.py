"""What two rankers would have earned on the pushes that were judged: accepted scripts, and the mood
of customers afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.evaluation.off_policy import Decision, compare_policies, judge_policy
from persona_ray.evaluation.reward_model import Tried, expectations
from persona_ray.inference.assist.choice import choose
from persona_ray.inference.assist.records import NoSuggestion

if TYPE_CHECKING:
    from persona_ray.config.assist import AssistConfig
    from persona_ray.conversation import Script
    from persona_ray.evaluation.bootstrap import Estimate
    from persona_ray.evaluation.off_policy import OffPolicy
    from persona_ray.inference.assist.ranking import ScriptRanker
    from persona_ray.launch.assist.feedback_data import JudgedPush

Policy = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Estimates:
    """One reward: what the champion and the new ranker would have earned of it, and by how much
    more the new one."""

    champion: OffPolicy
    new: OffPolicy
    gain: Estimate


def policy_of(ranker: ScriptRanker, push: JudgedPush, config: AssistConfig) -> Policy:
    """With what chance `ranker` would have put which script before the agent; none where nothing:
    that earns nothing."""
    targets = ranker.targets(push.information, push.library)
    chosen = choose(push.information, push.library, targets, push.shown, 0.0, config.choice)
    if isinstance(chosen, NoSuggestion):
        return {}
    return {one.script.id: one.propensity for one in chosen.candidates}


def estimate(
    judged: Sequence[JudgedPush],
    elsewhere: Sequence[JudgedPush],
    rankers: tuple[ScriptRanker, ScriptRanker],
    config: AssistConfig,
) -> tuple[Estimates, Estimates]:
    """Of accepted scripts, and of the change of mood. `rankers`: the champion, the new one; neither
    has learnt from a customer of `judged`. The model of rewards learns from `elsewhere`, too.
    Raises ValueError where there is too little to estimate from."""
    policies = [[policy_of(ranker, push, config) for push in judged] for ranker in rankers]
    clip = config.retraining.clip
    accepted = _estimates(judged, elsewhere, policies, [push.accepted for push in judged], clip)
    followed = [at for at, push in enumerate(judged) if push.mood_change is not None]
    mood = _estimates(
        [judged[at] for at in followed],
        [push for push in elsewhere if push.mood_change is not None],
        [[rows[at] for at in followed] for rows in policies],
        [push.mood_change or 0.0 for push in judged if push.mood_change is not None],
        clip,
        mood=True,
    )
    return accepted, mood


def _estimates(
    judged: Sequence[JudgedPush],
    elsewhere: Sequence[JudgedPush],
    policies: Sequence[Sequence[Policy]],
    rewards: Sequence[float],
    clip: float,
    *,
    mood: bool = False,
) -> Estimates:
    tried = [_tried(push, reward) for push, reward in zip(judged, rewards, strict=True)]
    others = [_tried(push, (push.mood_change or 0.0) if mood else push.accepted)
              for push in elsewhere]  # fmt: skip
    asked = [_asked(*row) for row in zip(judged, *policies, strict=True)]
    expected = expectations(tried, asked, others)
    first, second = (
        [
            Decision(push.person, push.chosen, reward, push.chances, policy, told)
            for push, reward, policy, told in zip(judged, rewards, rows, expected, strict=True)
        ]
        for rows in policies
    )
    return Estimates(
        champion=judge_policy(first, clip),
        new=judge_policy(second, clip),
        gain=compare_policies(first, second, clip),
    )


def _tried(push: JudgedPush, reward: float) -> Tried:
    return Tried(push.person, push.information, push.library.scripts[push.chosen], reward)


def _asked(push: JudgedPush, *policies: Policy) -> list[Script]:
    names = {push.chosen, *(name for policy in policies for name in policy)}
    return [push.library.scripts[name] for name in sorted(names)]
