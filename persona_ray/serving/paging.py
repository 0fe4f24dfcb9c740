"""Lists that are read page by page, the latest first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query

from persona_ray.errors import RequestError

Before = Annotated[str, Query(max_length=256, description="`next` of a page")]


def next_page(at: datetime, name: str) -> str:
    """What asks for the page behind something of that time and name."""
    return f"{at.isoformat()} {name}"


def page_before(text: str) -> tuple[datetime, str] | None:
    """What `next_page` gave; None of nothing. Raises RequestError."""
    if not text:
        return None
    at, _, name = text.partition(" ")
    try:
        found = datetime.fromisoformat(at)
        if found.tzinfo is not None:
            return in_utc(found), name
    except ValueError:
        pass
    raise RequestError(
        "request.invalid",
        "before: not the 'next' of a page",
        field="before",
        fix="send `next` of the page before as it is",
    )


def in_utc(at: datetime) -> datetime:
    """Raises ValueError where the years of UTC do not reach."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside of the years 1 to 9999 in UTC") from None
