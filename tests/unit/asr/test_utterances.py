"""What is decoded together, and which words are believed: properties over generated calls."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.asr.utterances import (
    believable,
    has_loop,
    in_order,
    unheard,
    utterances,
    without_loops,
)
from persona_ray.audio.vad import Span
from persona_ray.types import Word

RATE_HZ = 1000


@st.composite
def speech(draw: st.DrawFn) -> list[Span]:
    """Spans in order and apart, as voice activity detection gives them."""
    at, spans = 0.0, []
    for gap_s, length_s in draw(
        st.lists(st.tuples(st.floats(0.01, 3.0), st.floats(0.1, 40.0)), max_size=8)
    ):
        spans.append(Span(at + gap_s, at + gap_s + length_s))
        at = spans[-1].end_s
    return spans


@given(speech(), st.floats(0.0, 1.0), st.sampled_from([5.0, 15.0]), st.floats(0.0, 0.5))
def test_utterances_hold_all_speech_once_and_are_never_too_long(
    spans: list[Span], gap_s: float, max_s: float, keep_s: float
) -> None:
    end_s = (spans[-1].end_s if spans else 0.0) + 0.2
    samples = np.random.default_rng(0).standard_normal(round(end_s * RATE_HZ)).astype(np.float32)
    found = utterances(samples, RATE_HZ, spans, gap_s=gap_s, max_s=max_s, keep_s=keep_s)
    assert all(0 < span.duration_s <= max_s + 2 * keep_s + 1e-6 for span in found)
    assert all(one.end_s <= two.start_s + 1e-9 for one, two in pairwise(found))
    for span in spans:
        covered = sum(
            max(0.0, min(span.end_s, one.end_s) - max(span.start_s, one.start_s)) for one in found
        )
        assert covered == pytest.approx(span.duration_s, abs=2 / RATE_HZ)
    silence = sum(span.duration_s for span in found) - sum(span.duration_s for span in spans)
    assert silence <= len(spans) * gap_s + 2 * keep_s * len(found) + 1e-6


def test_long_speech_is_cut_where_it_is_quietest() -> None:
    samples = np.ones(20 * RATE_HZ, np.float32)
    samples[round(7.9 * RATE_HZ) : round(8.1 * RATE_HZ)] = 0.01
    found = utterances(samples, RATE_HZ, [Span(0.0, 20.0)], gap_s=0.5, max_s=12.0, keep_s=0.2)
    assert found[0].end_s == pytest.approx(8.0, abs=0.06)
    assert found[1].start_s == found[0].end_s


def test_a_pause_parts_and_a_breath_does_not() -> None:
    samples = np.ones(10 * RATE_HZ, np.float32)
    spans = [Span(1, 2), Span(2.3, 3), Span(4, 5)]
    found = utterances(samples, RATE_HZ, spans, gap_s=0.5, max_s=12.0, keep_s=0.25)
    assert found == (Span(0.75, 3.25), Span(3.75, 5.25))


@given(
    speech(),
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 3)), max_size=30),
)
def test_believed_words_lie_in_speech_and_in_order(
    spans: list[Span], times: list[tuple[float, float]]
) -> None:
    words = [
        Word(str(index), start_s, start_s + length_s)
        for index, (start_s, length_s) in enumerate(times)
    ]
    believed = believable(words, spans)
    for word in believed:
        assert any(
            span.start_s - 1e-9 <= word.start_s <= word.end_s <= span.end_s + 1e-9 for span in spans
        )
    kept = {word.text for word in believed}
    for word in words:
        near = any(
            word.start_s <= span.end_s + 0.25 and span.start_s - 0.25 <= word.end_s
            for span in spans
        )
        if not near:
            assert word.text not in kept
        if any(word.start_s < span.end_s and span.start_s < word.end_s for span in spans):
            assert word.text in kept
    ordered = in_order(believed)
    assert sorted(word.text for word in ordered) == sorted(kept)
    assert all(word.start_s <= word.end_s for word in ordered)
    assert all(one.end_s <= two.start_s for one, two in pairwise(ordered))


def test_speech_without_a_word_is_looked_at_again() -> None:
    spans = [Span(0, 2), Span(2.4, 4), Span(4.3, 4.5), Span(5, 7)]
    words = [Word("好", 0.5, 0.7), Word("的", 5.1, 5.2)]
    assert unheard(words, spans, 0.5) == (Span(2.4, 4),)


def as_words(text: str) -> list[Word]:
    return [Word(char, index * 0.1, index * 0.1 + 0.1) for index, char in enumerate(text)]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("好的谢谢谢谢谢谢谢谢谢谢谢谢谢谢谢谢谢谢", "好的谢"),
        ("请看下一个请看下一个请看下一个请看下一个请看下一个请看下一个完", "请看下一个完"),
        ("EEEEEEEEEEEEEEEEEEEEEEEE", "E"),
        ("好好好好好好好好好好然后再见再见再见再见再见再见再见再见再见再见", "好然后再见"),
    ],
)
def test_loops_are_cut_to_their_first_round(text: str, left: str) -> None:
    assert has_loop(text)
    assert "".join(word.text for word in without_loops(as_words(text))) == left


@pytest.mark.parametrize(
    "text",
    [
        "对对对对对对你说得对",
        "好的好的好的好的我知道了",
        "不是不是不是不是我不是那个意思",
        "一二三四一二三四一二三四",
        "那很不明智",
        "",
    ],
)
def test_what_people_repeat_is_left_alone(text: str) -> None:
    assert not has_loop(text)
    assert without_loops(as_words(text)) == tuple(as_words(text))


@given(
    st.text("甲乙丙丁戊己庚辛", max_size=8),
    st.text("子丑寅卯辰巳", min_size=1, max_size=6),
    st.integers(10, 30),
)
def test_no_loop_is_left(head: str, unit: str, rounds: int) -> None:
    words = without_loops(as_words(head + unit * rounds))
    left = "".join(word.text for word in words)
    assert not has_loop(left)
    assert left.startswith(head) or has_loop(head)
