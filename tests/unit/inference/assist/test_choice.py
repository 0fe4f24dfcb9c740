"""What is put before the agent, and with which chance."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.config.assist import ChoiceConfig
from persona_ray.conversation import (
    Conditions,
    Emotion,
    Relation,
    Scene,
    Script,
    ScriptLibrary,
    Speaker,
    Tone,
)
from persona_ray.inference.assist.choice import choose, drawn, propensities
from persona_ray.inference.assist.library import make_library
from persona_ray.inference.assist.ranking import Bm25Ranker
from persona_ray.inference.assist.reasons import in_words
from persona_ray.inference.assist.records import (
    Mood,
    NoSuggestion,
    Sentence,
    SpeechInformation,
    Suggestion,
)

FIRST = ChoiceConfig(explore=0.0, least=0.0)


def script(id_: str, **fields: object) -> Script:
    named: dict[str, object] = {
        "text": f"text of {id_}",
        "answers": ("年费多少",),
        "product": "card",
        "max_uses": 2,
    }
    return Script(id=id_, **(named | fields))  # type: ignore[arg-type]


def library(*scripts: Script) -> ScriptLibrary:
    return make_library("test", "1", scripts)


def mood(**shares: float) -> Mood:
    given_ = {Emotion(name): share for name, share in shares.items()}
    all_ = dict.fromkeys(Emotion, 0.0) | {Emotion.NEUTRAL: 1 - sum(given_.values())} | given_
    return Mood(all_, all_, all_, 0.0)


def said(
    text: str = "年费多少",
    feels: Mood | None = None,
    relation: Relation = Relation.QUESTION,
    product: str = "card",
    **colour: float,
) -> SpeechInformation:
    sentence = Sentence(Speaker.CUSTOMER, text, 0.0, 1.0, Tone())
    return SpeechInformation(
        sentence, Scene(product, "offer", "autumn"), relation, feels or mood(), colour=colour
    )


def chosen(
    found: SpeechInformation,
    *scripts: Script,
    shown: dict[str, int] | None = None,
    targets: dict[str, float] | None = None,
    config: ChoiceConfig = FIRST,
    draw: float = 0.0,
) -> Suggestion | NoSuggestion:
    fits = dict.fromkeys((one.id for one in scripts), 1.0) | (targets or {})
    return choose(found, library(*scripts), fits, shown or {}, draw, config)


def first(found: Suggestion | NoSuggestion) -> str:
    assert isinstance(found, Suggestion), found
    return found.first.script.id


@pytest.mark.parametrize(
    ("when", "may"),
    [
        ({}, True),
        ({"steps": ("offer", "closing")}, True),
        ({"steps": ("closing",)}, False),
        ({"campaigns": ("autumn",)}, True),
        ({"campaigns": ("spring",)}, False),
        ({"relations": (Relation.QUESTION,)}, True),
        ({"relations": (Relation.OBJECTION,)}, False),
        ({"emotions": (Emotion.ANNOYED,)}, True),
        ({"emotions": (Emotion.PLEASED,)}, False),
        ({"never": (Emotion.ANNOYED,)}, False),
        ({"never": (Emotion.WORRIED, Emotion.ANGRY)}, True),
        ({"colours": ("red",)}, True),
        ({"colours": ("blue",)}, False),
        ({"steps": ("offer",), "colours": ("blue",)}, False),
    ],
)
def test_a_script_may_be_said_where_every_condition_holds(
    when: dict[str, tuple[str, ...]], may: bool
) -> None:
    heard = said(feels=mood(annoyed=0.5, angry=0.2), red=0.6, blue=0.4)
    found = chosen(heard, script("a", conditions=Conditions(**when)))  # type: ignore[arg-type]
    assert found == NoSuggestion("no_script") if not may else first(found) == "a"


def test_emotions_that_together_are_likely_forbid_a_script() -> None:
    heard = said(feels=mood(annoyed=0.3, angry=0.3))
    never = Conditions(never=(Emotion.ANNOYED, Emotion.ANGRY))
    assert chosen(heard, script("lively", conditions=never)) == NoSuggestion("no_script")


def test_nobody_is_taken_for_a_colour_that_is_not_known() -> None:
    coloured = script("red", conditions=Conditions(colours=("red",)))
    assert chosen(said(), coloured) == NoSuggestion("no_script")


@pytest.mark.parametrize(
    ("heard", "scripts", "targets", "reason"),
    [
        (said(), (), {}, "empty_library"),
        (said(product="house"), (script("a"),), {}, "unknown_scene"),
        (said("……！"), (script("a"),), {}, "nothing_to_say"),
        (said(), (script("a"),), {"a": -1.0}, "nothing_fits"),
        (said("嗯", relation=Relation.ANSWER), (script("a"),), {"a": -1.0}, "nothing_to_say"),
        (said(), (script("a", max_uses=1),), {}, "no_script"),
    ],
)
def test_why_nothing_is_put_before_the_agent(
    heard: SpeechInformation,
    scripts: tuple[Script, ...],
    targets: dict[str, float],
    reason: str,
) -> None:
    assert chosen(heard, *scripts, targets=targets, shown={"a": 1}) == NoSuggestion(reason)


def test_scripts_for_any_product_answer_in_any() -> None:
    assert first(chosen(said(product="house"), script("any", product=""))) == "any"


@pytest.mark.parametrize(
    "when",
    [
        Conditions(steps=("offer",)),
        Conditions(relations=(Relation.QUESTION,)),
        Conditions(emotions=(Emotion.ANNOYED,)),
        Conditions(colours=("red",)),
    ],
)
def test_a_script_written_for_just_this_goes_before_one_for_anything(
    when: Conditions,
) -> None:
    heard = said(feels=mood(annoyed=0.8), red=0.9)
    found = chosen(heard, script("a"), script("b", conditions=when))
    assert first(found) == "b"


def test_what_was_shown_before_gives_way() -> None:
    assert first(chosen(said(), script("a"), script("b"), shown={"a": 1})) == "b"


def test_a_part_for_each_thing_that_a_score_adds_up_from() -> None:
    found = chosen(said(), script("a"), script("b"), shown={"a": 1})
    assert isinstance(found, Suggestion)
    for one in found.candidates:
        assert sum(one.parts.values()) == pytest.approx(one.score)
        assert set(one.parts) == {"target", "scene", "relation", "emotion", "colour", "repeated"}


def test_only_the_best_are_weighed_and_some_of_them_shown() -> None:
    scripts = [script(f"s{at:02}") for at in range(20)]
    fits = {one.id: at / 10 for at, one in enumerate(scripts)}
    config = ChoiceConfig(candidates=5, shown=2)
    found = chosen(said(), *scripts, targets=fits, config=config, draw=0.999999)
    assert isinstance(found, Suggestion)
    assert [one.script.id for one in found.candidates] == ["s19", "s18", "s17", "s16", "s15"]
    # The draw fell on the last one; the best stands beside it.
    assert found.shown == (4, 0)
    assert found.explored
    assert "explored=yes" in found.because


@given(
    scores=st.lists(st.floats(-50, 50), min_size=1, max_size=20),
    temperature=st.floats(0.01, 10),
    explore=st.floats(0, 0.5),
)
def test_chances_sum_to_one_and_follow_the_scores(
    scores: list[float], temperature: float, explore: float
) -> None:
    chances = propensities(scores, temperature, explore)
    assert sum(chances) == pytest.approx(1)
    assert min(chances) >= explore / len(scores) * (1 - 1e-9)
    by_score = sorted(zip(scores, chances, strict=True))
    assert all(one[1] <= other[1] for one, other in pairwise(by_score))


@given(weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=8))
def test_draws_fall_on_each_place_as_often_as_its_chance(weights: list[float]) -> None:
    chances = [weight / sum(weights) for weight in weights]
    draws = 4000
    places = [drawn(chances, (at + 0.5) / draws) for at in range(draws)]
    for place, chance in enumerate(chances):
        assert places.count(place) / draws == pytest.approx(chance, abs=1e-3)


def test_bm25_finds_what_was_written_for_a_sentence_and_tells_it_from_what_was_not() -> None:
    scripts = library(
        script("fee", answers=("年费要多少钱", "收不收年费"), text="首年免年费，刷六次免次年。"),
        script("safe", answers=("会不会泄露我的信息",), text="您的资料由银行加密保管。"),
    )
    ranker = Bm25Ranker()
    fits = ranker.targets(said("那年费是多少钱啊"), scripts)
    assert fits["fee"] > 0 > fits["safe"]
    assert max(ranker.targets(said("今天天气真好"), scripts).values()) < 0


def test_the_reason_is_one_line() -> None:
    codes = ("relation=objection", "topic=fee", "emotion=annoyed", "style=soothing")
    assert in_words(codes, "zh") == "客户在质疑收费，语气不耐烦；安抚式话术"
    assert in_words(("relation=question", "topic=红利"), "zh") == "客户在询问红利"
    assert in_words(codes, "en") == "the customer objects: fee, sounds annoyed; soothing"
