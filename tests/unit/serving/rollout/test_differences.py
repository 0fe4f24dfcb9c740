"""How much two answers differ."""

from __future__ import annotations

import pytest

from persona_ray.inference.clips import CallRecognition, ClipRecognition, SentenceRecognition
from persona_ray.serving.rollout.differences import (
    NO_COLOUR,
    NoColour,
    calls_differ,
    clips_differ,
    sentences_differ,
)
from tests.unit.serving.rollout.fakes import colour


def clips(*names: str) -> list[ClipRecognition]:
    return [ClipRecognition(colour(name), "") for name in names]


def sentences(*names: str) -> list[SentenceRecognition]:
    return [SentenceRecognition(n, n + 1, "", colour(name)) for n, name in enumerate(names)]


@pytest.mark.parametrize(
    ("ours", "theirs", "share"),
    [
        (("red", "blue"), ("red", "blue"), 0.0),
        (("red", "blue"), ("red", "green"), 0.5),
        (("red", ""), ("red", ""), 0.0),
        (("red", "", "blue"), ("red", "", ""), 0.5),
        (("", ""), ("", ""), NO_COLOUR),
        ((), (), NO_COLOUR),
    ],
)
def test_of_clips_those_with_a_colour_count(
    ours: tuple[str, ...], theirs: tuple[str, ...], share: float | NoColour
) -> None:
    assert clips_differ(clips(*ours), clips(*theirs)) == share
    assert clips_differ(clips(*theirs), clips(*ours)) == share


def test_a_sentence_that_one_model_found_alone_differs() -> None:
    assert sentences_differ(sentences("red"), sentences("red", "blue")) == 0.5


def test_calls_are_compared_as_wholes() -> None:
    red = CallRecognition(colour("red"), tuple(sentences("blue")))
    assert calls_differ(red, CallRecognition(colour("red"), tuple(sentences("green")))) == 0.0
    assert calls_differ(red, CallRecognition(colour("blue"), ())) == 1.0
