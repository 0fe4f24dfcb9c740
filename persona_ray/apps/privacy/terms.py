"""Terms, in words."""

from __future__ import annotations


def in_words(days: float) -> str:
    """Short ones in minutes; 0 is for good."""
    if not days:
        return "until forgotten"
    return f"{days:g} days" if days >= 1 else f"{days * 1440:g} minutes"
