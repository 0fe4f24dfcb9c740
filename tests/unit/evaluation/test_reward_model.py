"""What a script may be expected to earn, learned from other customers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona_ray.conversation import Emotion, Relation, Scene, Script, Speaker, Tone
from persona_ray.evaluation.reward_model import Tried, expectations
from persona_ray.inference.assist.records import Mood, Sentence, SpeechInformation

SCRIPTS = {
    style: Script(id=style, text=style, answers=("年费多少",), topic="fee", style=style)
    for style in ("brief", "factual")
}
LIKES = {"red": "brief", "blue": "factual"}


def heard(colour: str) -> SpeechInformation:
    shares = {one: float(one is Emotion.NEUTRAL) for one in Emotion}
    return SpeechInformation(
        Sentence(Speaker.CUSTOMER, "年费多少钱", 0.0, 1.0, Tone()),
        Scene("card", "offer"),
        Relation.QUESTION,
        Mood(shares, shares, {}, 0.0),
        colour={colour: 1.0},
    )


def tried(customers: int, scale: float = 1.0) -> list[Tried]:
    """Who is red takes what is brief, mostly; who is blue what is factual."""
    draw = np.random.default_rng(5)
    found = []
    for number in range(customers):
        colour = ("red", "blue")[number % 2]
        for style in SCRIPTS:
            well = draw.random() < (0.8 if LIKES[colour] == style else 0.2)
            reward = scale * float(well)
            found.append(Tried(f"u{number:03d}", heard(colour), SCRIPTS[style], reward))
    return found


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_whom_which_script_suits_is_told_of_strangers(scale: float) -> None:
    rows = tried(120, scale)
    told = expectations(rows, [tuple(SCRIPTS.values())] * len(rows))
    for style in SCRIPTS:
        for colour in LIKES:
            mine = [
                one[style]
                for one, row in zip(told, rows, strict=True)
                if row.information.colour == {colour: 1.0}
            ]
            rate = scale * (0.8 if LIKES[colour] == style else 0.2)
            assert np.mean(mine) == pytest.approx(rate, abs=0.12 * scale)


def test_what_a_customer_took_tells_nothing_of_that_customer() -> None:
    rows = tried(30)
    asked = [tuple(SCRIPTS.values())] * len(rows)
    before = expectations(rows, asked)
    turned = [
        replace(row, reward=1 - row.reward) if row.customer == "u007" else row for row in rows
    ]
    after = expectations(turned, asked)
    for at, row in enumerate(rows):
        if row.customer == "u007":
            assert after[at] == before[at]
    assert after != before


def test_who_is_judged_teaches_nothing() -> None:
    rows = tried(10)
    asked = [(row.script,) for row in rows]
    with pytest.raises(ValueError, match="10 customers are judged and learnt from"):
        expectations(rows, asked, rows)
    with pytest.raises(ValueError, match="two customers"):
        expectations(rows[:2], asked[:2])
    others = [replace(row, customer=f"other-{row.customer}") for row in rows]
    assert len(expectations(rows, asked, others)) == len(rows)
