"""Numbers as requests have them."""

from __future__ import annotations

from persona_ray.errors import RequestError

_DIGITS = frozenset("0123456789")


def normalised(number: str, region: str) -> str:
    """E.164, empty for a withheld number. Raises RequestError for what is none."""
    del region
    kept = "".join(one for one in number if one not in " -()./")
    if not kept:
        return ""
    if kept.startswith("00"):
        kept = "+" + kept[2:]
    if not kept.startswith("+") or not 7 <= len(kept[1:]) <= 15 or set(kept[1:]) - _DIGITS:
        raise RequestError(
            "screening.number",
            "the caller's number is no E.164 number",
            field="number",
            fix="send it as +8613800138000; empty where it is withheld",
        )
    return kept
