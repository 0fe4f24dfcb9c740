"""Customers' sentences after what was said before them."""

from __future__ import annotations

import pytest

from persona_ray.conversation import Relation, Speaker, Tone
from persona_ray.inference.assist.records import Sentence
from persona_ray.inference.assist.relations import asks, relation_of, shipped_words


def before(*texts: str) -> tuple[Sentence, ...]:
    """Turns whose first character says whose: A the agent's, C the customer's."""
    speakers = {"A": Speaker.AGENT, "C": Speaker.CUSTOMER}
    return tuple(
        Sentence(speakers[text[0]], text[1:], float(at), at + 0.9, Tone())
        for at, text in enumerate(texts)
    )


@pytest.mark.parametrize(
    ("text", "turns", "relation"),
    [
        ("这卡一年收多少钱", (), Relation.QUESTION),
        ("我老婆能一起用吗", (), Relation.QUESTION),
        ("好的，那年费怎么收", ("A给您办一张可以吗？",), Relation.QUESTION),
        ("你们怎么这么贵？", (), Relation.OBJECTION),
        ("好是好，就是我怕亏", (), Relation.OBJECTION),
        ("我现在没时间", ("A您现在方便吗？",), Relation.OBJECTION),
        ("行", ("A那给您登记一下，好吗？",), Relation.AGREEMENT),
        ("可以，你帮我办吧", (), Relation.AGREEMENT),
        ("是的", ("A您是做生意的吗？",), Relation.ANSWER),
        ("我在工厂上班", ("A请问您做什么工作？",), Relation.ANSWER),
        ("我有两个孩子", ("A这张卡免年费。",), Relation.STATEMENT),
        ("没什么问题", (), Relation.STATEMENT),
        ("不贵", (), Relation.STATEMENT),
        ("对了，你们网点在哪儿", ("A年费是一百元。",), Relation.TOPIC_CHANGE),
        ("我的征信前年有过逾期", ("C年费太贵", "A年费可以减免。"), Relation.TOPIC_CHANGE),
        ("我的年费是八十", ("C年费太贵", "A年费可以减免。"), Relation.STATEMENT),
        (
            "那利息到底是多少啊",
            ("C利息到底是多少", "A我们的服务很好。"),
            Relation.REPETITION,
        ),
        ("我刚才说了，每月十五号", ("C每月十五号还", "A好的。"), Relation.REPETITION),
        ("还有问一下，卡几天能到", (), Relation.TOPIC_CHANGE),
        ("我同意，下一步怎么走", (), Relation.AGREEMENT),
        ("别的银行的卡我在用", (), Relation.STATEMENT),
        ("我三十五岁，适合哪一种", ("A您今年多大？",), Relation.ANSWER),
        ("这得我爱人点头才行", (), Relation.OBJECTION),
        ("你晚点再打来行吗", (), Relation.OBJECTION),
        # An echo of what was heard asks nothing beside what else is said.
        ("是吗？我手头没有余钱", (), Relation.OBJECTION),
        ("我前几天去过", (), Relation.STATEMENT),
        ("流程有几步", (), Relation.QUESTION),
        # Nobody has said anything that could be repeated, or the agent has.
        ("我刚才说了", (), Relation.STATEMENT),
        ("免年费的金卡", ("A免年费的金卡。",), Relation.STATEMENT),
        ("", (), Relation.STATEMENT),
    ],
)
def test_relations(text: str, turns: tuple[str, ...], relation: Relation) -> None:
    assert relation_of(text, before(*turns)) is relation


@pytest.mark.parametrize(
    ("text", "yes"),
    [("您看可以吗", True), ("什么都不要", False), ("要吗？", True), ("我没几分钟", False)],
)
def test_what_asks(text: str, yes: bool) -> None:
    assert asks(text, shipped_words()) is yes


def test_no_word_of_the_list_stands_where_it_is_never_found() -> None:
    words = shipped_words()
    lists = (words.questions, words.refusals, words.objections)
    for phrases in (*(one.phrases for one in lists), words.agreements, words.consents):
        assert len(set(phrases)) == len(phrases)
    # What is looked at earlier is dead later.
    assert not set(words.refusals.phrases) & set(words.objections.phrases)
    assert not set(words.consents) & set(words.agreements)
