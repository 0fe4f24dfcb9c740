"""Calling numbers in one form: E.164, by the rules of each country (libphonenumber's)."""

from __future__ import annotations

import re

from persona_ray.errors import RequestError

# What switches and handsets write for a number that the caller hides.
_WITHHELD = frozenset(
    {
        "",
        "anonymous",
        "blocked",
        "coin",
        "no caller id",
        "o",
        "p",
        "payphone",
        "private",
        "private number",
        "restricted",
        "s",
        "unavailable",
        "unknown",
        "withheld",
        "未知",
        "未知号码",
        "私人号码",
        "无法显示",
    }
)
_URI = re.compile(r"^(?:sips?|tel):", re.IGNORECASE)
# E.164 has 15 digits at most; the shortest that anybody calls from are services' (110, 95588).
_MOST_DIGITS = 15
_FEWEST_DIGITS = 3


def normalise(raw: str, region: str) -> str:
    """`raw` as +8613800138000, empty where the caller hides it.

    `region` (ISO 3166) is the country of numbers written without a country code. Short service
    numbers, which E.164 does not know, get the country code too: 95588 is +8695588. Takes SIP and
    tel URIs. Raises RequestError for what is no number; the message does not repeat it.
    """
    text = raw.strip()
    if _URI.match(text):
        text = text.partition(":")[2].partition("@")[0].partition(";")[0]
    if text.lower() in _WITHHELD:
        return ""
    import phonenumbers

    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        raise _invalid(str(error).partition(") ")[2].rstrip(".")) from None
    found = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if len(found) - 1 > _MOST_DIGITS:
        raise _invalid("It has more digits than a phone number")
    if len(str(parsed.national_number)) < _FEWEST_DIGITS:
        raise _invalid("It has fewer digits than a phone number")
    return str(found)


def caller_number(raw: str, region: str) -> str:
    """As `normalise`, of a call that comes in: what is no number counts as hidden. Switches pass
    on what callers make up, and such a call is to be screened, not refused."""
    try:
        return normalise(raw, region)
    except RequestError:
        return ""


def _invalid(why: str) -> RequestError:
    return RequestError(
        "number.invalid",
        f"not a phone number: {why[:1].lower()}{why[1:]}",
        field="number",
        fix="write it with its country code (+8613800138000), or leave it empty where it is hidden",
    )
