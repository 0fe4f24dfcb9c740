"""Better feedback never scores less, whatever the mapping."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from persona_ray.config.assist import FeedbackConfig
from persona_ray.conversation import Action, Outcome, Rating
from persona_ray.inference.assist.feedback import is_sample, score

# Best first.
RATINGS = (Rating.EXCELLENT, Rating.GOOD, Rating.FAIR, Rating.POOR)
ACTIONS = (Action.USED, Action.EDITED, Action.DISMISSED)
OUTCOMES = (Outcome.AGREED, Outcome.CALLBACK, Outcome.DECLINED, Outcome.HUNG_UP)


def falling(names: tuple[str, ...], least: float) -> st.SearchStrategy[dict[str, float]]:
    points = st.lists(st.floats(least, 100), min_size=len(names), max_size=len(names))
    return points.map(lambda found: dict(zip(names, sorted(found, reverse=True), strict=True)))


CONFIGS = st.builds(
    FeedbackConfig,
    ratings=falling(tuple(RATINGS), 0),
    actions=falling(tuple(ACTIONS), 0),
    outcomes=falling(tuple(OUTCOMES), -100),
)


@given(CONFIGS, st.sampled_from(ACTIONS), st.sampled_from([None, *RATINGS]))
def test_a_better_outcome_never_scores_less(
    config: FeedbackConfig, action: Action, rating: Rating | None
) -> None:
    found = [score(action, rating, outcome, config) for outcome in OUTCOMES]
    assert all(better >= worse for better, worse in pairwise(found))
    assert all(0 <= points <= 100 for points in found)


@given(CONFIGS, st.sampled_from([None, *OUTCOMES]))
def test_a_better_word_or_deed_never_scores_less(
    config: FeedbackConfig, outcome: Outcome | None
) -> None:
    for action in ACTIONS:
        words = [score(action, rating, outcome, config) for rating in RATINGS]
        assert words == sorted(words, reverse=True)
    deeds = [score(action, None, outcome, config) for action in ACTIONS[:2]]
    assert deeds == sorted(deeds, reverse=True)


def test_the_default_mapping() -> None:
    config = FeedbackConfig()
    excellent = score(Action.USED, Rating.EXCELLENT, None, config)
    assert excellent == 80
    assert is_sample(excellent, config)
    # A call that went well makes no good script of one that was not said.
    dismissed = score(Action.DISMISSED, None, Outcome.AGREED, config)
    assert dismissed == 20
    assert not is_sample(dismissed, config)
    assert not is_sample(config.threshold, config)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ratings": {"excellent": 80, "good": 65, "fair": 50}}, "'poor'"),
        ({"actions": {"used": 10, "edited": 62, "dismissed": 20}}, "fall from 'used'"),
        ({"ratings": {"excellent": 180, "good": 65, "fair": 50, "poor": 10}}, "0 to 100"),
    ],
)
def test_a_mapping_that_cannot_be_right_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FeedbackConfig.model_validate(wrong)
