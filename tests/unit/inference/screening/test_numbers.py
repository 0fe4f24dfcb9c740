"""Calling numbers in one form, as switches, handsets and people write them."""

from __future__ import annotations

import pytest

from persona_ray.errors import RequestError
from persona_ray.inference.screening.numbers import normalise


@pytest.mark.parametrize(
    "raw",
    [
        "+8613800138000",
        "13800138000",
        " 138-0013-8000 ",
        "0086 138 0013 8000",
        "tel:+86-138-0013-8000",
        "sip:+8613800138000@ims.example.cn;user=phone",
        "17951 13800138000",
        "１３８００１３８０００",
    ],
)
def test_one_number_however_written(raw: str) -> None:
    assert normalise(raw, "CN") == "+8613800138000"


@pytest.mark.parametrize(
    ("raw", "region", "found"),
    [
        ("(010) 6552 9988", "CN", "+861065529988"),
        ("400-810-8888", "CN", "+864008108888"),
        ("95588", "CN", "+8695588"),
        ("110", "CN", "+86110"),
        ("+1 (650) 253-0000", "CN", "+16502530000"),
        ("(650) 253-0000", "US", "+16502530000"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("+390612345678", "CN", "+390612345678"),
    ],
)
def test_numbers_of_many_kinds(raw: str, region: str, found: str) -> None:
    assert normalise(raw, region) == found
    assert normalise(found, region) == found


@pytest.mark.parametrize(
    "raw", ["", "  ", "anonymous", "Restricted", "sip:anonymous@anonymous.invalid", "未知", "P"]
)
def test_a_hidden_number_is_empty(raw: str) -> None:
    assert normalise(raw, "CN") == ""


@pytest.mark.parametrize(
    "raw", ["12", "+999123456", "1065512345678901234", "12345678901234567890", "bank", "+", "0"]
)
def test_what_is_no_number_is_refused_without_repeating_it(raw: str) -> None:
    with pytest.raises(RequestError, match="not a phone number") as caught:
        normalise(raw, "CN")
    assert (caught.value.code, caught.value.field) == ("number.invalid", "number")
    assert len(raw) < 2 or raw not in f"{caught.value} {caught.value.fix}"
