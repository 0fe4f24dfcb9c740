"""Texts are compared by what is said, not by how it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.asr.script import has_traditional, simplified
from persona_ray.asr.text import normalise, storable


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("你好，请问 有什么可以帮您？", "你好请问有什么可以帮您"),
        ("ＶＩＰ客户１２３。", "vip客户123"),
        ("【App】—— iPhone！", "appiphone"),
        ("…、\n\t　", ""),
        ("“三点五”%", "三点五"),
    ],
)
def test_punctuation_width_and_case_do_not_count(text: str, same_as: str) -> None:
    assert normalise(text) == same_as


@given(st.text())
def test_it_is_done_after_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(alphabet="电话销售客户经理abc123"), st.text(alphabet="，。！？ 、“”…\n-"))
def test_marks_anywhere_change_nothing(text: str, marks: str) -> None:
    assert normalise(marks.join(text)) == text


@given(st.text(st.characters(categories=["Cs", "Lo", "So"])))
def test_any_text_can_be_stored_and_only_halves_of_pairs_change(text: str) -> None:
    kept = storable(text)
    assert kept.encode().decode() == kept
    for before, after in zip(text, kept, strict=True):
        assert after == ("?" if "\ud800" <= before <= "\udfff" else before)


def test_traditional_text_becomes_simplified() -> None:
    said = "這個問題我們已經處理了，倫敦的電話請您聽清楚，謝謝妳"
    assert simplified(said) == "这个问题我们已经处理了，伦敦的电话请您听清楚，谢谢你"
    assert has_traditional(said)
    assert not has_traditional(simplified(said))


@given(st.text(alphabet=st.characters(codec="gb2312")))
def test_simplified_text_stays_as_it_is(text: str) -> None:
    assert simplified(text) == text
    assert not has_traditional(text)


@given(st.text(alphabet=st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)))
def test_a_replacement_is_always_a_simplified_character(text: str) -> None:
    for before, after in zip(text, simplified(text), strict=True):
        assert before == after or (has_traditional(before) and not has_traditional(after))
