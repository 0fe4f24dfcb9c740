"""Planted calls: repeatable, of the promised shares, with wordings held out and a fair bound."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import product as product_of
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.assist_ceiling import share
from persona_ray.cli.app import app
from persona_ray.config.assist import AssistConfig
from persona_ray.conversation import Emotion, Script
from persona_ray.corpus.conversations import read_conversations
from persona_ray.errors import ConfigError
from persona_ray.inference.assist.library import load_library
from persona_ray.synth.assist import tastes
from persona_ray.synth.assist.composing import PlantedConversation, compose
from persona_ray.synth.assist.moods import Shown
from persona_ray.synth.assist.wording import Marked, Wording, load_wording, unmark
from persona_ray.synth.assist.world import STEPS, PlantedTurn, World
from persona_ray.synth.assist.writing import write_planted
from persona_ray.synth.dialogues.scenes import Part

LIBRARY = load_library("", AssistConfig().steps)


@pytest.fixture(scope="module")
def world() -> World:
    return World(LIBRARY.scripts)


@pytest.fixture(scope="module")
def calls(world: World) -> list[PlantedConversation]:
    return list(compose(world, 300, 3, "all"))


@pytest.fixture(scope="module")
def turns(calls: list[PlantedConversation]) -> list[PlantedTurn]:
    return [answered.turn for call in calls for answered in call.turns]


def test_the_same_seed_goes_on_where_fewer_ended(
    world: World, calls: list[PlantedConversation]
) -> None:
    assert list(compose(world, 20, 3, "all")) == calls[:20]
    assert list(compose(world, 20, 4, "all")) != calls[:20]


def test_steps_and_products_are_those_of_the_configuration(world: World) -> None:
    assert AssistConfig().steps == STEPS
    assert {script.product for script in LIBRARY.scripts.values()} == {"", *world.products}
    for topic in world.wording.topics.values():
        assert set(topic.steps) <= set(STEPS)


def forms(wording: Wording, templates: Iterable[str], product: str) -> set[str]:
    """All that `templates` can become, without punctuation."""
    found = set()
    for template in templates:
        slots = re.sub(
            r"{(\w+)}", lambda m: f"[{'|'.join(wording.products[product][m[1]])}]", template
        )
        pieces = re.split(r"\[([^\[\]]*)\]", slots)
        choices = [piece.split("|") if at % 2 else [piece] for at, piece in enumerate(pieces)]
        found |= {re.sub(r"[<>，。？]", "", "".join(one)) for one in product_of(*choices)}
    return found


def test_train_and_test_have_no_wording_in_common() -> None:
    train, test = load_wording(Part.TRAIN), load_wording(Part.TEST)
    for product in train.products:
        trained, tested = set[str](), set[str]()
        for name, topic in train.topics.items():
            trained |= forms(train, topic.wordings(product), product)
            tested |= forms(test, test.topics[name].wordings(product), product)
            assert len(topic.wordings(product)) >= 6
            assert len(test.topics[name].wordings(product)) >= 3
        assert not trained & tested
    clauses = [
        [*wording.explicit.values(), [one.text for one in wording.ambiguous]]
        for wording in (train, test)
    ]
    said = [{form for texts in part for form in forms(train, texts, "loan")} for part in clauses]
    assert not said[0] & said[1]
    assert all(train.meaning(emotion) and test.explicit[emotion] for emotion in Emotion)


def test_no_answer_of_a_script_is_a_wording_of_the_test_part() -> None:
    wording = load_wording(Part.TEST)
    for script in LIBRARY.scripts.values():
        product = script.product or "loan"
        held_out = forms(wording, wording.topics[script.topic].wordings(product), product)
        assert not held_out & {re.sub(r"[，。？]", "", answer) for answer in script.answers}


def test_moods_show_in_words_in_tone_or_in_both(turns: list[PlantedTurn]) -> None:
    felt = [turn for turn in turns if turn.emotion is not Emotion.NEUTRAL]
    shown = Counter(turn.shown for turn in felt)
    assert 0.35 <= (shown[Shown.WORDS] + shown[Shown.TONE]) / len(felt) <= 0.65
    assert set(Counter(turn.emotion for turn in turns)) == set(Emotion)
    calm = [turn for turn in turns if "<很忙>" in turn.clause and turn.emotion is Emotion.NEUTRAL]
    cross = [turn for turn in turns if "<真好>" in turn.clause and turn.emotion is Emotion.ANNOYED]
    assert calm
    assert cross


def test_keywords_are_where_they_are_said(turns: list[PlantedTurn]) -> None:
    assert unmark("我<很忙>，<真>好") == Marked("我很忙，真好", ((1, 3), (4, 5)))
    for turn in turns:
        assert not set("<>[]{}|") & set(turn.text), turn.text
        words = [turn.text[word.start : word.end] for word in turn.keywords]
        assert len(words) == turn.clause.count("<")
        assert all(word and not set(word) & set("，。？") for word in words)


def test_neither_words_nor_tone_tell_the_mood_alone(world: World, turns: list[PlantedTurn]) -> None:
    both = share(world, turns[:800], words=True, sound=True)
    assert 0.87 <= both <= 0.95
    assert share(world, turns[:800], words=True, sound=False) < both - 0.04
    assert share(world, turns[:800], words=False, sound=True) < both - 0.15


def test_something_fits_whatever_is_said(world: World, turns: list[PlantedTurn]) -> None:
    for turn in turns:
        assert 1 <= len(turn.fits) <= 2
        best = world.scripts[turn.fits[0]]
        assert (best.topic, best.product or turn.product) == (turn.topic, turn.product)
        chances = [world.accepts(turn, world.scripts[one]) for one in turn.fits]
        others = [s for one, s in world.scripts.items() if one not in turn.fits]
        assert min(chances) > max(world.accepts(turn, script) for script in others)


def test_who_hears_what_suits_is_better_off(world: World) -> None:
    def courses(fitting: bool) -> tuple[float, Counter[str]]:
        ends, outcomes = [], Counter[str]()
        for number in range(150):
            rng = np.random.default_rng(number)
            call = world.call(rng, world.customer(rng, "u"), "loan")
            while (turn := call.speak()) is not None:
                wrong = world.scripts["card-price-brief"]
                call.hear(world.scripts[turn.fits[0]] if fitting else wrong)
            ends.append(call.course)
            outcomes[call.outcome()] += 1
        return float(np.mean(ends)), outcomes

    (well, agreed), (badly, refused) = courses(True), courses(False)
    assert well > 0.3 > -0.3 > badly
    assert agreed["agreed"] > 75 > 15 > refused["agreed"]
    assert refused["hung_up"] > agreed["hung_up"]


def test_a_library_without_a_style_is_refused() -> None:
    lacking = {one: s for one, s in LIBRARY.scripts.items() if one != "loan-fee-lively"}
    with pytest.raises(ConfigError, match="no lively script for 'fee' of 'loan'"):
        World(lacking)


def test_an_unknown_script_suits_nobody_well(world: World, turns: list[PlantedTurn]) -> None:
    stranger = Script(id="x", text="天气不错。", answers=("天气",))
    assert world.accepts(turns[0], stranger) == tastes.OTHER_TOPIC


def test_they_are_read_back_as_conversations(
    calls: list[PlantedConversation], tmp_path: Path
) -> None:
    file = tmp_path / "calls.jsonl.gz"
    assert write_planted(calls, file) == len(calls)
    read = read_conversations([file])
    assert [one.id for one in read] == [one.id for one in calls]
    said = [turn for turn in read[0].turns if turn.speaker == "customer"]
    for turn, answered in zip(said, calls[0].turns, strict=True):
        assert turn.text == answered.turn.text
        assert turn.tone == answered.turn.tone
        assert [word.tone for word in turn.keywords] == [
            word.tone for word in answered.turn.keywords
        ]
        assert turn.fits == answered.turn.fits


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    args = ["synth", "conversations", "-o", str(out), "--count", "5", "--part"]
    assert CliRunner().invoke(app, [*args, "test"]).exit_code == 0
    first = out.read_bytes()
    CliRunner().invoke(app, [*args, "test"])
    assert out.read_bytes() == first
    wrong = CliRunner().invoke(app, [*args, "dev"])
    assert isinstance(wrong.exception, ConfigError)
