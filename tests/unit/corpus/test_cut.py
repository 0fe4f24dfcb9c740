"""What holds of every cut, whatever the words and the speech."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from persona_ray.audio.vad import Span
from persona_ray.config.corpus import CutConfig
from persona_ray.corpus.cut import Sentence, count_characters, cut_sentences
from persona_ray.types import Transcript, Word

TINY_S = 1e-6

seconds = st.floats(0, 2, allow_nan=False).map(lambda value: round(value, 3))
texts = st.sampled_from(["我", "想", "问一下", "。", "，", "好的。", "OK?", " yes", "", "12.5"])


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Words in order of start, as the archive gives them; they may touch, overlap or be long."""
    words, at_s = [], 0.0
    for gap_s, length_s, text in draw(st.lists(st.tuples(seconds, seconds, texts), max_size=40)):
        at_s += gap_s
        words.append(Word(text, at_s, at_s + 4 * length_s))
        at_s += draw(st.sampled_from([0.0, length_s, 4 * length_s]))
    return Transcript(tuple(words), "test")


@st.composite
def speeches(draw: st.DrawFn) -> tuple[Span, ...]:
    """Spans in order and apart, or none."""
    spans, at_s = [], 0.0
    for gap_s, length_s in draw(st.lists(st.tuples(seconds, seconds), max_size=12)):
        start_s = at_s + gap_s + 0.01
        at_s = start_s + length_s + 0.05
        spans.append(Span(start_s, at_s))
    return tuple(spans)


configs = st.builds(
    CutConfig,
    max_clip_s=st.sampled_from([0.3, 1.0, 3.0, 12.0]),
    sentence_gap_s=st.sampled_from([0.2, 0.45, 1.0]),
    pad_s=st.sampled_from([0.0, 0.1, 0.5]),
)


@settings(max_examples=300, deadline=None)
@given(transcripts(), speeches(), configs)
@example(Transcript((Word("我", 0.0, 60.0),), "test"), (), CutConfig(max_clip_s=1.0))
@example(Transcript((Word("。", 0.0, 0.1), Word("。", 9.0, 9.1)), "test"), (), CutConfig())
def test_every_cut_holds(
    transcript: Transcript, speech: tuple[Span, ...], config: CutConfig
) -> None:
    sentences = cut_sentences(transcript, speech, config)
    # No word is lost or doubled, and their order is kept.
    cut = [word.text for sentence in sentences for word in sentence.words]
    assert cut == [word.text for word in transcript.words]
    for sentence in sentences:
        assert sentence.words
        assert 0 <= sentence.start_s <= sentence.end_s
        assert sentence.duration_s <= config.max_clip_s + TINY_S
        assert -TINY_S <= sentence.speech_s <= sentence.duration_s + TINY_S
        moments = [m for word in sentence.words for m in (word.start_s, word.end_s)]
        assert moments == sorted(moments)
        assert sentence.start_s <= moments[0] + TINY_S
        assert moments[-1] <= sentence.end_s + TINY_S
    for before, after in pairwise(sentences):
        assert before.end_s <= after.start_s + TINY_S


@settings(max_examples=200, deadline=None)
@given(transcripts(), configs)
def test_gaps_and_final_punctuation_always_part_and_only_length_parts_besides(
    transcript: Transcript, config: CutConfig
) -> None:
    def over(words: list[Word], after: Word) -> bool:
        said = "".join(word.text for word in words).rstrip()
        wait_s = config.sentence_gap_s * (2 if said.endswith("，") else 1)
        pause = after.start_s - words[-1].end_s >= wait_s
        return bool(count_characters(after.text)) and (said.endswith(("。", "?")) or pause)

    sentences = cut_sentences(transcript, (), config)
    starts = {id(sentence.words[0]) for sentence in sentences}
    words = [word for sentence in sentences for word in sentence.words]
    room_s = config.max_clip_s - 2 * min(config.pad_s, config.max_clip_s / 4)
    # What belongs together, and whether length has parted it.
    together: list[Word] = []
    parted = False
    for word in [*words, None]:
        if word is None or (together and over(together, word)):
            whole_s = together[-1].end_s - together[0].start_s if together else 0.0
            assert parted == (whole_s > room_s + TINY_S)
            assert word is None or id(word) in starts
            together, parted = [], False
        elif together:
            parted = parted or id(word) in starts
        if word is not None:
            together.append(word)


def words(*items: tuple[str, float, float]) -> Transcript:
    return Transcript(tuple(Word(*item) for item in items), "test")


def said(sentences: list[Sentence]) -> list[str]:
    return [sentence.text for sentence in sentences]


def test_a_word_stretched_over_a_pause_is_cut_back_to_speech() -> None:
    """Recognisers often let a word last until the next one begins."""
    transcript = words(("我想", 0.5, 1.0), ("问", 1.0, 4.0), ("收益", 4.0, 4.6), ("吗", 4.6, 4.8))
    speech = (Span(0.45, 1.3), Span(3.9, 4.9))
    first, second = cut_sentences(transcript, speech, CutConfig())
    assert said([first, second]) == ["我想问", "收益吗"]
    assert first.end_s == pytest.approx(1.3 + 0.1)
    assert (second.start_s, second.end_s) == pytest.approx((3.9 - 0.1, 4.9 + 0.1))
    assert first.speech_s == pytest.approx(0.85)


def test_borders_reach_for_speech_but_not_for_far_away_speech() -> None:
    transcript = words(("我想", 2.2, 2.6), ("问", 2.6, 3.0))
    (near,) = cut_sentences(transcript, (Span(2.0, 3.3),), CutConfig(pad_s=0.1))
    assert (near.start_s, near.end_s) == pytest.approx((1.9, 3.4))
    # Two seconds of speech without words belong to nobody.
    (far,) = cut_sentences(transcript, (Span(0.0, 5.0),), CutConfig(pad_s=0.1))
    assert (far.start_s, far.end_s) == pytest.approx((1.7, 3.5))


def test_a_long_sentence_parts_at_its_widest_gap() -> None:
    transcript = words(
        ("一", 0.0, 3.0), ("二", 3.1, 5.0), ("三", 5.3, 8.0), ("四", 8.1, 11.0), ("五", 11.2, 14.0)
    )
    sentences = cut_sentences(transcript, (), CutConfig(max_clip_s=12.0, pad_s=0.1))
    assert said(sentences) == ["一二", "三四五"]
    # Between words that touch, the middle is taken.
    even = words(*[(str(number), float(number), number + 1.0) for number in range(8)])
    assert said(cut_sentences(even, (), CutConfig(max_clip_s=5.0))) == ["0123", "4567"]


def test_punctuation_ends_a_sentence_and_stays_with_it() -> None:
    transcript = words(
        ("好的", 0.0, 0.4), ("。", 0.4, 0.4), ("利率", 0.4, 0.8), ("3.5", 0.8, 1.2),
        ("吗", 1.2, 1.4), ("？", 2.9, 3.0), ("嗯", 3.0, 3.2),
    )  # fmt: skip
    assert said(cut_sentences(transcript, (), CutConfig())) == ["好的。", "利率3.5吗？", "嗯"]


def test_after_a_comma_the_pause_may_be_longer() -> None:
    def parts(text: str, pause_s: float) -> int:
        transcript = words((text, 0.0, 1.0), ("要是有折扣的话", 1.0 + pause_s, 3.0))
        return len(cut_sentences(transcript, (), CutConfig(sentence_gap_s=0.45)))

    assert parts("我想问一下", 0.6) == 2
    assert parts("我想问一下，", 0.6) == 1
    assert parts("我想问一下，", 0.95) == 2


def test_neighbours_share_a_short_gap() -> None:
    transcript = words(("好的。", 0.0, 1.0), ("那行", 1.06, 2.0))
    first, second = cut_sentences(transcript, (Span(0.0, 2.0),), CutConfig(pad_s=0.2))
    assert first.end_s == second.start_s == pytest.approx(1.03)
    assert math.isclose(second.end_s, 2.2)


@pytest.mark.parametrize(
    ("text", "count"), [("好的，谢谢！", 4), ("…… 。", 0), ("OK 12", 4), ("", 0)]
)
def test_only_what_is_said_counts_as_characters(text: str, count: int) -> None:
    assert count_characters(text) == count
