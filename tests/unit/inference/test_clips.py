"""Combining results: sums of probabilities, and nothing as a result."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.inference.clips import CallRecognition, SentenceRecognition, combine
from persona_ray.types import NothingUsable, Recognition

LABELS = ("red", "blue", "yellow", "green")


@st.composite
def recognitions(draw: st.DrawFn) -> Recognition:
    weights = draw(st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
    shares = [weight / sum(weights) for weight in weights]
    return Recognition(dict(zip(LABELS, shares, strict=True)), clips=draw(st.integers(1, 5)))


some = st.lists(recognitions() | st.builds(NothingUsable, st.just("silence")), max_size=8)


@given(some, some)
def test_combining_parts_equals_combining_all(
    first: list[Recognition | NothingUsable], second: list[Recognition | NothingUsable]
) -> None:
    whole = combine(first + second)
    parts = combine([combine(first), combine(second)])
    if isinstance(whole, NothingUsable):
        assert isinstance(parts, NothingUsable)
        return
    assert isinstance(parts, Recognition)
    assert sum(whole.probabilities.values()) == pytest.approx(1.0)
    assert whole.clips == parts.clips
    assert parts.probabilities == pytest.approx(whole.probabilities)


def test_the_sum_decides_not_the_number_of_wins() -> None:
    close = Recognition({"red": 0.51, "blue": 0.49}, clips=1)
    sure = Recognition({"red": 0.05, "blue": 0.95}, clips=1)
    result = combine([close, close, sure])
    assert isinstance(result, Recognition)
    assert (result.primary, result.secondary, result.clips) == ("blue", "red", 3)
    assert result.probabilities["blue"] == pytest.approx((0.49 + 0.49 + 0.95) / 3)


def test_nothing_usable_says_why() -> None:
    assert combine([]) == NothingUsable("no sentence to judge")
    reasons = [NothingUsable("silence"), NothingUsable("no words"), NothingUsable("silence")]
    assert combine(reasons) == NothingUsable("no words; silence")


def test_results_of_different_models_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="different labels"):
        combine([Recognition({"a": 0.5, "b": 0.5}, 1), Recognition({"b": 0.5, "a": 0.5}, 1)])


def test_json_has_one_shape_for_both_outcomes() -> None:
    judged = Recognition({"red": 0.75, "blue": 0.25}, clips=1)
    call = CallRecognition(judged, (SentenceRecognition(0.5, 2.25, "好的", judged),), ("mulaw",))
    nothing = CallRecognition(NothingUsable("silence"), ())
    assert json.loads(json.dumps(call.to_dict())) == {
        "primary": "red",
        "secondary": "blue",
        "probabilities": {"red": 0.75, "blue": 0.25},
        "clips": 1,
        "reason": None,
        "flags": ["mulaw"],
        "sentences": [
            {
                "start_s": 0.5,
                "end_s": 2.25,
                "text": "好的",
                "primary": "red",
                "secondary": "blue",
                "probabilities": {"red": 0.75, "blue": 0.25},
                "clips": 1,
                "reason": None,
            }
        ],
    }
    assert nothing.to_dict().keys() == call.to_dict().keys()
    assert nothing.to_dict()["primary"] is None
    assert nothing.to_dict()["reason"] == "silence"
