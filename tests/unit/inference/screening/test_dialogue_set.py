"""A dialogue set is checked strictly, and mistakes are told with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.errors import ConfigError
from persona_ray.inference.screening.dialogue.dialogue_set import (
    DialogueSet,
    load_dialogue_set,
    parse_dialogue_set,
)

CATEGORIES = PolicyConfig().categories
SMALL = """\
version: "3"
openings: [您好，请说。, 喂，您好。]
silences: [您还在吗？, 我听着。]
repeats: [请再说一遍。, 没听清。]
messages: [请留言。, 您请说。]
goodbyes: [再见。, 谢谢来电。]
go_on:
  any:
    - 您接着说。
    - 然后呢？
  loans: [利息怎么算？, 哪家银行？]
exchanges:
  - id: offer
    category: loans
    says: [需要贷款吗]
    answers:
      - 您是哪家的？
      - 利率多少？
  - id: hello
    aside: true
    says: [你好]
    answers: [您好。, 您请说。]
"""


def parse(text: str) -> DialogueSet:
    return parse_dialogue_set(text, "set.yaml", CATEGORIES)


def test_the_shipped_set_has_something_to_say_to_every_category() -> None:
    shipped = load_dialogue_set("", CATEGORIES)
    assert len(shipped.exchanges) >= 60
    assert {e.category for e in shipped.exchanges} == {*CATEGORIES, ""}
    assert set(shipped.go_on) == {*CATEGORIES, "any"}
    assert max(len(text) for text in shipped.spoken()) <= 40  # seconds of a caller's patience


def test_the_fingerprint_is_of_the_content_not_the_layout() -> None:
    first = parse(SMALL)
    laid_out = parse(
        SMALL.replace("[您好，请说。, 喂，您好。]", "\n  - 您好，请说。\n  - 喂，您好。")
    )
    reworded = parse(SMALL.replace("然后呢？", "还有呢？"))
    assert first.name == laid_out.name == f"dialogue-3+{first.fingerprint}"
    assert reworded.fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("      - 利率多少？\n", "", r"set\.yaml:16: exchanges\.0\.answers has 1 of at least 2"),
        ("  - id: hello", "  - id: offer", r"set\.yaml:19: the id 'offer' is also that of exch"),
        (
            "says: [你好]",
            "says: [需要贷款吗]",
            r"set\.yaml:21: '需要贷款吗' is already said in 'off",
        ),
        ("category: loans", "category: loan", r"set\.yaml:14: unknown category 'loan'.*loans, "),
        ("  loans: [", "  debts: [", r"set\.yaml:11: unknown category 'debts'"),
        ("    says: [你好]", "    say: [你好]", r"set\.yaml:(19|21): .*say"),
        (
            "    aside: true",
            "    asides: true",
            r"set\.yaml:20: unknown key 'asides': did you mean",
        ),
        ("version", "versoin", r"set\.yaml:1: .*version"),
        ("  any:", "  some:", r"set\.yaml:7: 'any' is missing"),
        ("然后呢？", "", r"set\.yaml:10: go_on\.any\.1 = null: must be text"),
        ("利率多少？", "他现在在北京。", r"set\.yaml:18: the robot would say where the user is"),
        ("利率多少？", "我的电话是138。", r"set\.yaml:18: the robot would say a number"),
        ("利率多少？", "我叫小王。", r"set\.yaml:18: the robot would say a name \('我叫'"),
        ("利率多少？", "好，我马上转给您。", r"set\.yaml:18: the robot would say a promise"),
        ("goodbyes", "silences", r"set\.yaml:6: 'silences' stands here and in line 3"),
        ("exchanges:", "exchanges: {", r"set\.yaml:\d+: not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(ConfigError, match=message):
        parse(SMALL.replace(old, new))


@pytest.mark.parametrize("text", ["", "- a\n", "text"])
def test_what_is_no_map_is_told_what_keys_there_are(text: str) -> None:
    with pytest.raises(ConfigError, match="a map with the keys version, openings"):
        parse(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml does not exist: set screening\.dialogue"):
        load_dialogue_set(str(tmp_path / "none.yaml"), CATEGORIES)
