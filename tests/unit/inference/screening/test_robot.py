"""The robot understands, never says the same twice in a row, and always says something."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.config.screening import DialogueConfig
from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.errors import ConfigError
from persona_ray.inference.screening.records import (
    CategoryJudgement,
    LineKind,
    Speaker,
    Turn,
)
from persona_ray.inference.screening.robot import DialogueRobot, build_robot

CATEGORIES = PolicyConfig().categories


def turn(speaker: Speaker, text: str) -> Turn:
    return Turn(speaker, text, 0.0, 1.0)


def caller(*texts: str) -> list[Turn]:
    return [turn(Speaker.CALLER, text) for text in texts]


def sure_of(category: str, probability: float) -> CategoryJudgement:
    rest = (1 - probability) / (len(CATEGORIES) - 1)
    return CategoryJudgement(
        {name: probability if name == category else rest for name in CATEGORIES}, 1, "test"
    )


@pytest.fixture(scope="module")
def robot() -> DialogueRobot:
    return build_robot(DialogueConfig(), CATEGORIES)


@pytest.fixture(scope="module")
def quick() -> DialogueRobot:
    return build_robot(DialogueConfig(sentences="ngrams"), CATEGORIES)


@pytest.mark.parametrize(
    ("said", "exchange"),
    [
        ("您这张银行卡刚才在国外有一笔消费。", "card_abnormal"),
        ("喂，您好，您订的外卖给您放到门口了啊。", "food_arrived"),
        ("你好，我想问一下，您这边缺不缺资金，我们有低息贷款。", "loan_offer"),
        ("我是他妈，叫他今天晚上回来吃饭。", "family"),
        ("您好！", "greeting"),
    ],
)
def test_other_words_for_what_stands_in_the_set(
    robot: DialogueRobot, said: str, exchange: str
) -> None:
    answer = robot.think(caller(said), None)
    assert answer.exchange == exchange
    of_set = next(e for e in robot.dialogue.exchanges if e.id == exchange)
    assert answer.text in of_set.answers


def test_a_pleasantry_does_not_hide_what_is_said(robot: DialogueRobot) -> None:
    matter = "您的快递给您放柜子里了"
    plain = robot.think(caller(matter), None)
    assert (
        robot.think(caller(f"喂，您好，打扰了，{matter}，好吗？"), None).exchange == plain.exchange
    )


def test_the_unknown_is_asked_to_go_on(robot: DialogueRobot) -> None:
    answer = robot.think(caller("我家的猫昨天生了三只小猫"), None)
    assert answer.exchange == ""
    assert answer.text in robot.dialogue.go_on["any"]


def test_the_category_says_how_the_unknown_is_asked(robot: DialogueRobot) -> None:
    answer = robot.think(caller("我家的猫昨天生了三只小猫"), sure_of("loans", 0.9))
    assert answer.text in robot.dialogue.go_on["loans"]
    unsure = robot.think(caller("我家的猫昨天生了三只小猫"), sure_of("loans", 0.2))
    assert unsure.text in robot.dialogue.go_on["any"]


def test_the_category_steers_between_near_exchanges() -> None:
    steered = build_robot(
        DialogueConfig(sentences="ngrams", steering=1.0, threshold=0.1), CATEGORIES
    )
    both = caller("您的卡我们通知您处理")
    fraud = steered.think(both, sure_of("account_fraud", 0.95)).exchange
    bank = steered.think(both, sure_of("service", 0.95)).exchange
    categories = {e.id: e.category for e in steered.dialogue.exchanges}
    assert (categories[fraud], categories[bank]) == ("account_fraud", "service")


def test_nothing_understood_is_asked_again(quick: DialogueRobot) -> None:
    assert quick.think(caller("  "), None).text in quick.dialogue.repeats
    assert quick.think([], None).text in quick.dialogue.repeats
    assert quick.think(caller("，。？"), None).text in quick.dialogue.go_on["any"]


def test_who_repeats_is_never_answered_the_same_twice(quick: DialogueRobot) -> None:
    turns: list[Turn] = []
    for _ in range(12):
        turns += caller("您需要贷款吗")
        answer = asyncio.run(quick.answer(turns, None))
        turns.append(turn(Speaker.ROBOT, answer))
    said = [t.text for t in turns if t.speaker is Speaker.ROBOT]
    assert all(first != second for first, second in pairwise(said))
    assert len(set(said)) >= 6  # its own answers, then those of its category


WORDS = st.sampled_from(
    ["您好", "贷款", "快递到了", "验证码", "你是谁", "？", "", "abc 123", "股票"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=5).map("，".join), min_size=1, max_size=8))
def test_it_always_says_something_of_the_set(quick: DialogueRobot, heard: list[str]) -> None:
    allowed = set(quick.dialogue.spoken())
    turns: list[Turn] = [turn(Speaker.ROBOT, quick.line(LineKind.OPENING, []))]
    for text in heard:
        turns += caller(text)
        answer = quick.think(turns, None).text
        assert answer in allowed
        assert answer != next(t.text for t in reversed(turns) if t.speaker is Speaker.ROBOT)
        turns.append(turn(Speaker.ROBOT, answer))


@pytest.mark.parametrize("kind", list(LineKind))
def test_lines_of_each_kind_vary(quick: DialogueRobot, kind: LineKind) -> None:
    first = quick.line(kind, [])
    second = quick.line(kind, [turn(Speaker.ROBOT, first)])
    assert first != second
    assert {first, second} <= set(quick.dialogue.lines(kind))


def test_an_unknown_engine_is_told() -> None:
    with pytest.raises(
        ConfigError, match=r"screening\.dialogue\.sentences = best: .*both, meaning"
    ):
        build_robot(DialogueConfig(sentences="best"), CATEGORIES)
