"""What the lexicon finds in sentences, and how mistakes in its file are told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.conversation import Emotion
from persona_ray.errors import ConfigError
from persona_ray.inference.assist.emotion.distribution import FLOOR, likeliest
from persona_ray.inference.assist.emotion.lexicon import load_lexicon, parse_lexicon
from persona_ray.inference.assist.emotion.reading import Reading, read

LEXICON = load_lexicon(None)
FELT = [emotion for emotion in Emotion if emotion is not Emotion.NEUTRAL]
WORDS = st.sampled_from(sorted(LEXICON.words))
# Entries that are no part of anything longer with what stands before them here.
PLAIN = st.sampled_from(["满意", "担心", "讨厌", "生气", "失望", "怀疑", "惊讶", "感兴趣"])


def reading(text: str) -> Reading:
    return read(LEXICON, text)


def emotion(text: str) -> Emotion:
    return likeliest(reading(text).probabilities)


def test_the_shipped_lexicon_has_enough_of_every_emotion() -> None:
    assert len(LEXICON.words) >= 400
    counts = Counter(e for strengths in LEXICON.words.values() for e in strengths)
    assert min(counts[e] for e in FELT) >= 40


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你们这个服务非常满意", Emotion.PLEASED),
        ("帮我算一下，能贷多少", Emotion.INTERESTED),
        ("真没想到啊，还有这种事", Emotion.SURPRISED),
        ("说得好听，谁能保证", Emotion.DOUBTFUL),
        ("我就怕亏了怎么办", Emotion.WORRIED),
        ("唉，白跑一趟", Emotion.DISAPPOINTED),
        ("有完没完，都说了不要打了", Emotion.ANNOYED),
        ("什么态度，我要投诉你们", Emotion.ANGRY),
        ("我的身份证在家里", Emotion.NEUTRAL),
        # What only looks like a word of the lexicon.
        ("我在银行行长那里", Emotion.NEUTRAL),
        ("你好，差不多是这样", Emotion.NEUTRAL),
        # Words that say little without their sound.
        ("我现在很忙，别说了", Emotion.NEUTRAL),
        ("好啊真好", Emotion.NEUTRAL),
        # Negation: not annoyed is nothing, not pleased is something, twice is neither.
        ("我没有生气", Emotion.NEUTRAL),
        ("我一点都不担心", Emotion.NEUTRAL),
        ("我不是不满意", Emotion.NEUTRAL),
        ("这个我不满意", Emotion.DISAPPOINTED),
        # The part after the contrast counts.
        ("利息是太高了，但是服务挺好的", Emotion.PLEASED),
        ("服务挺好的，但是利息太高了，太失望了", Emotion.DISAPPOINTED),
    ],
)
def test_what_a_sentence_shows(text: str, expected: Emotion) -> None:
    assert emotion(text) is expected


def test_keywords_stand_where_they_stand_in_the_text() -> None:
    found = reading("这个ＯＫ，我觉得满意极了，不用谢").keywords
    assert [(one.text, one.start) for one in found] == [("满意极了", 8)]
    assert found[0].strength > LEXICON.words["满意"][Emotion.PLEASED]


def test_nothing_said_is_neutral() -> None:
    for text in ("", "  ", "……"):
        assert reading(text).keywords == ()
        assert reading(text).probabilities[Emotion.NEUTRAL] > 0.8
    # Words of which none is known may mean anything: a lexicon's silence is no proof of calm.
    assert reading("身份证").probabilities[Emotion.NEUTRAL] < 0.5


def test_a_question_negates_nothing() -> None:
    (asked,) = reading("你们自己满不满意").keywords
    assert set(asked.strengths) == {Emotion.PLEASED}
    assert asked.strength < LEXICON.words["满意"][Emotion.PLEASED]


def test_a_negation_ends_with_its_clause() -> None:
    assert emotion("不，我很满意") is Emotion.PLEASED
    assert emotion("我不知道为什么大家都对你们这么满意") is Emotion.PLEASED


@given(st.text(alphabet="我好不很太满意烦忙但是，。？ 气死了担心ok", max_size=30))
def test_any_text_gives_probabilities_and_places_inside_it(text: str) -> None:
    found = reading(text)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert min(found.probabilities.values()) > 0
    for one in found.keywords:
        assert text[one.start : one.end] == one.text
        assert 0 <= one.strength <= 1


@given(PLAIN, st.sampled_from(sorted(w for w, d in LEXICON.degrees.items() if d > 1)))
def test_a_stronger_degree_never_lowers(word: str, degree: str) -> None:
    top = likeliest(reading(word).probabilities)
    once, twice = (reading(by + word).probabilities[top] for by in (degree, f"{degree}非常"))
    assert reading(word).probabilities[top] <= once <= twice


@given(PLAIN, st.sampled_from(["不", "没有", "并不", "一点都不", "不太", "从来没"]))
def test_a_negation_never_leaves_the_emotion_as_strong(word: str, negation: str) -> None:
    top = likeliest(reading(word).probabilities)
    assert reading(f"{negation}{word}").probabilities[top] < reading(word).probabilities[top]


@given(WORDS, WORDS)
def test_more_of_an_emotion_never_makes_it_less(one: str, other: str) -> None:
    alone, both = reading(f"{one}。").probabilities, reading(f"{one}。{other}。").probabilities
    # Against neutral, as others may come in beside it.
    for felt in FELT:
        before, after = (
            (row[felt] - FLOOR) / (row[Emotion.NEUTRAL] - FLOOR) for row in (alone, both)
        )
        assert after >= before - 1e-9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: a\nentries:\n  pleased: {满意: 2}\n", "own.yaml:3: entries.pleased.满意"),
        ("version: a\nentries:\n  plesed: {满意: 1}\n", "own.yaml:3: entries.plesed"),
        ("version: a\nentries:\n  neutral: {嗯: 1}\n", "own.yaml:3: what is neutral needs"),
        ("version: a\nentries: {}\n", "own.yaml:2: a lexicon needs a word"),
        ("version: a\nwords: {}\nentries: {}\n", "own.yaml:2: unknown key 'words'"),
        ("version: a\nentries:\n  pleased: {好: 1}\nexceptions: [好]\n", "'好' stands under"),
        ("version: a\nentries:\n  pleased: {好: 1}\nambivalent: [行]\n", "own.yaml:4: '行' is"),
        (
            "version: a\nentries:\n  pleased: {好: 1}\nnegated:\n  pleased: {pleased: 1}\n",
            "own.yaml:5: 'pleased' negated is still",
        ),
        ("- a\n", "own.yaml:1: the file"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_lexicon(text, "own.yaml")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist: set assist\.emotion\.lexicon"):
        load_lexicon(tmp_path / "none.yaml")
