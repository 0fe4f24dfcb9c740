"""Whether a new ranker may answer: by a log in which chance put up every script."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from persona_ray.config.assist import AssistConfig
from persona_ray.conversation import (
    Emotion,
    Relation,
    Scene,
    Script,
    ScriptLibrary,
    Speaker,
    Tone,
)
from persona_ray.evaluation.release import ReleaseReport
from persona_ray.evaluation.report.release import write_release
from persona_ray.inference.assist.library import make_library
from persona_ray.inference.assist.records import Mood, Sentence, SpeechInformation
from persona_ray.launch.assist.feedback_data import JudgedPush, split_of_person
from persona_ray.launch.assist.release import Champion, judge
from persona_ray.types import Split

NAMES = ("good", "fair", "poor", "hurts", "untried")
LIBRARY = make_library(
    "test", "1", [Script(id=name, text=name, answers=("多少",), style=name) for name in NAMES]
)
TAKEN = {"good": 0.8, "fair": 0.4, "poor": 0.1, "hurts": 0.9}
MOOD = {"good": 0.1, "fair": 0.0, "poor": -0.1, "hurts": -0.6}
CONFIG = AssistConfig.model_validate({"retraining": {"least_samples": 50}})


class Likes:
    """A ranker that puts one script first."""

    def __init__(self, script: str) -> None:
        self.name = f"likes {script}"
        self._script = script

    def targets(
        self,
        information: SpeechInformation,  # noqa: ARG002
        library: ScriptLibrary,
    ) -> Mapping[str, float]:
        return {name: 2.0 if name == self._script else 0.5 for name in library.scripts}


def heard() -> SpeechInformation:
    shares = {one: float(one is Emotion.NEUTRAL) for one in Emotion}
    return SpeechInformation(
        Sentence(Speaker.CUSTOMER, "多少钱", 0.0, 1.0, Tone()),
        Scene("card", "offer"),
        Relation.QUESTION,
        Mood(shares, shares, {}, 0.0),
    )


def logged(customers: int = 120, each: int = 4) -> list[JudgedPush]:
    """Four scripts, one as often as the other."""
    draw = np.random.default_rng(3)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for number in range(customers * each):
        chosen = str(draw.choice(list(TAKEN)))
        found.append(
            JudgedPush(
                person=f"u{number % customers}",
                at=began + timedelta(minutes=number),
                information=heard(),
                library=LIBRARY,
                shown={},
                chosen=chosen,
                chances=dict.fromkeys(TAKEN, 0.25),
                accepted=float(draw.random() < TAKEN[chosen]),
                mood_change=float(MOOD[chosen] + draw.normal(0, 0.1)),
            )
        )
    return found


PUSHES = logged()


def judged_by(
    pushes: list[JudgedPush], new: str, champion: str = "fair", heard: frozenset[str] = frozenset()
) -> ReleaseReport:
    former = Champion(Likes(champion), None, heard)
    return judge(pushes, former, Likes(new), LIBRARY, {"pairs": 3}, CONFIG)


@cache
def judged(new: str, champion: str = "fair") -> ReleaseReport:
    return judged_by(PUSHES, new, champion)


def test_a_better_one_is_released_with_what_it_would_have_earned() -> None:
    report = judged("good")
    assert report.released, report.why
    assert report.accepted is not None
    assert report.mood is not None
    for earned, truth in ((report.accepted, TAKEN), (report.mood, MOOD)):
        for side, name in ((earned.champion, "fair"), (earned.new, "good")):
            assert side.doubly_robust.value == pytest.approx(truth[name], abs=0.15)
    assert report.accepted.gain.interval is not None
    assert report.accepted.gain.interval[0] > 0


def test_those_that_learn_do_not_judge() -> None:
    report = judged("good")
    held_out = {
        push.person for push in PUSHES if split_of_person(push.person, CONFIG) is Split.TEST
    }
    assert report.customers == len(held_out)
    assert report.pushes == sum(push.person in held_out for push in PUSHES)
    one = next(iter(held_out))
    # Whom the champion has heard judges nobody.
    assert judged_by(PUSHES, "good", heard=frozenset([one])).customers == len(held_out) - 1


@pytest.mark.parametrize(
    ("new", "champion", "decision", "words"),
    [
        ("poor", "good", "no_gain", "no more than the champion's"),
        ("good", "good", "no_gain", "+0.0 points"),
        ("hurts", "fair", "mood", "customers' mood -0."),
        ("untried", "fair", "coverage", "was ever tried"),
    ],
)
def test_one_that_is_worse_does_harm_or_was_never_tried_is_refused(
    new: str, champion: str, decision: str, words: str
) -> None:
    report = judged(new, champion)
    assert (report.decision, report.released) == (decision, False)
    assert words in report.why


def test_too_few_pushes_tell_nothing() -> None:
    report = judged_by(logged(customers=20, each=2), "good")
    assert report.decision == "too_few"
    assert report.accepted is None
    assert "(retraining.least_samples)" in report.why


def test_the_page_says_what_was_decided(tmp_path: Path) -> None:
    for new in ("good", "poor"):
        report = judged(new)
        page = write_release(report, tmp_path / f"{new}.html").read_text("utf-8")
        assert ("Not released" in page) is (new == "poor")
        assert report.new in page
        kept = (tmp_path / f"{new}.json").read_text("utf-8")
        assert ReleaseReport.model_validate_json(kept) == report
