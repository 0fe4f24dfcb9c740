"""Numerals as spoken, against plain readings and an independent way back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.evaluation.numerals import spoken

UNITS = {"十": 10, "百": 100, "千": 1000}


def value(said: str) -> int:
    """The number that a reading means, by adding up its digits and units."""
    total = section = digit = 0
    for character in said:
        if character in "万亿":
            total += (section + digit) * (10_000 if character == "万" else 100_000_000)
            section = digit = 0
        elif character in UNITS:
            section += (digit or 1) * UNITS[character]
            digit = 0
        else:
            digit = "零一二三四五六七八九".index(character)
    return total + section + digit


@given(st.integers(0, 99_999_999))
def test_a_quantity_can_be_read_back(number: int) -> None:
    said = spoken(str(number))
    assert value(said) == number
    assert "零零" not in said
    assert number == 0 or not said.endswith("零")
    # A gap within four digits is said, as in 1 0500 and 2005.
    if re.search(r"[1-9]0+[1-9]", str(number)[-4:]):
        assert "零" in said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("一共300块", "一共三百块"),
        ("15号", "十五号"),
        ("115", "一百一十五"),
        ("100010", "十万零一十"),
        ("12,000元", "一万二千元"),
        ("利率3.05%", "利率百分之三点零五"),
        ("２０２６年３月", "二零二六年三月"),
        ("2026个", "二千零二十六个"),
        ("13812345678", "一三八一二三四五六七八"),
        ("尾号0042", "尾号零零四二"),
        ("两百块", "二百块"),
        ("没有数字", "没有数字"),
    ],
)
def test_plain_readings(written: str, said: str) -> None:
    assert spoken(written) == said


@given(st.text("0123456789一二两百年%., 块", max_size=20))
def test_no_digit_is_left_and_saying_it_again_changes_nothing(text: str) -> None:
    said = spoken(text)
    assert not re.search(r"\d", said)
    assert spoken(said) == said
