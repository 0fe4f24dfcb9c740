"""Arabic numerals as they are spoken in Mandarin.

Recognisers write 300 where people say 三百. That is spelling and no error, so both texts are
brought to the spoken form before characters are compared.
"""

from __future__ import annotations

import re
import unicodedata

_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿")
# From here on a number is read digit by digit: an account, a telephone.
_LONGEST_QUANTITY = 9
_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.(\d+))?(%)?(?=(年)?)")
# Two ways to say two, one and zero.
_SAME = str.maketrans({"两": "二", "幺": "一", "〇": "零"})


def spoken(text: str) -> str:
    """`text` with its numerals as they are said, and with one character for each digit.

    >>> spoken("300块，5.8%，2026年")
    '三百块，百分之五点八，二零二六年'
    """
    return _NUMBER.sub(_say, unicodedata.normalize("NFKC", text)).translate(_SAME)


def _say(match: re.Match[str]) -> str:
    whole, fraction, percent, year = match.groups()
    whole = whole.replace(",", "")
    digit_by_digit = (
        len(whole) >= _LONGEST_QUANTITY
        or (len(whole) > 1 and whole.startswith("0"))
        or (year and len(whole) == 4)
    )
    said = _each(whole) if digit_by_digit else _quantity(int(whole))
    if fraction:
        said += "点" + _each(fraction)
    return "百分之" + said if percent else said


def _each(digits: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in digits)


def _quantity(number: int) -> str:
    """10 -> 十, 105 -> 一百零五, 20030 -> 二万零三十; below 10 to the 12."""
    if number == 0:
        return _DIGITS[0]
    said, gap = "", False
    for group in (2, 1, 0):
        part = number // 10_000**group % 10_000
        # A gap between groups is said once: 2 0030 has one, 2 3000 has none.
        if part:
            said += _DIGITS[0] * bool(said and (gap or part < 1000)) + _below_10_000(part)
            said += _GROUPS[group]
        gap = not part
    # A number that begins with ten is said without its one.
    return said.removeprefix("一") if said.startswith("一十") else said


def _below_10_000(part: int) -> str:
    said, gap = "", False
    for place in (3, 2, 1, 0):
        digit = part // 10**place % 10
        if digit:
            said += _DIGITS[0] * bool(said and gap) + _DIGITS[digit] + _PLACES[place]
        gap = not digit
    return said
