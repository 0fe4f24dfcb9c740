"""Every reason has its sentence: in English, and on the pages in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from persona_ray.inference.screening.reasons import Reason, ReasonCode, in_english

VALUES: dict[str, str | float] = {
    "standing": "abnormal",
    "category": "loans",
    "score": 3.251,
    "margin": 0.1,
    "probability": 0.98,
    "parts": "ears, mouth",
}
# What the pages make of the values.
SHOWN = {"standing", "category", "about", "score", "margin", "percent", "parts"}


@pytest.mark.parametrize("code", ReasonCode)
def test_every_code_has_its_sentence(repository: Path, code: ReasonCode) -> None:
    assert re.fullmatch(r"[a-z'][^{}]+", str(Reason(code, VALUES)))
    for language in ("en", "zh"):
        folder = repository / "persona_ray/serving/pages/assets/js"
        text = (folder / f"words-{language}-screening.js").read_text(encoding="utf-8")
        (sentence,) = re.findall(rf'"reason\.{code}": "(.+)",', text)
        assert set(re.findall(r"\{(\w+)\}", sentence)) <= SHOWN


def test_what_is_not_known_is_not_said() -> None:
    known = Reason(ReasonCode.SHARED_SET, {"standing": "abnormal", "category": "loans"})
    bare = Reason(ReasonCode.OWN_SET, {"standing": "normal", "category": ""})
    said = in_english((known, bare, Reason(ReasonCode.CALLER_LEFT)))
    assert said == (
        "the number is in the shared abnormal set for loans; "
        "the number is in your own normal set; the caller hung up"
    )
