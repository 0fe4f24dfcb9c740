"""What reading an annotation file gives, whatever its format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from persona_ray.asr.text import storable
from persona_ray.errors import AnnotationError
from persona_ray.store import Annotation

# Errors of one file that are listed in its message.
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Place:
    """The clip or span that a row is about."""

    clip_id: str | None
    call_id: str | None
    start_s: float | None
    end_s: float | None


@dataclass(slots=True)
class Problems:
    """Errors of one file, gathered so that a person can mend them at once."""

    path: Path
    messages: list[str] = field(default_factory=list)

    def add(self, place: str, message: object) -> None:
        self.messages.append(f"{place}: {message}")

    def refuse(self) -> None:
        """Raises AnnotationError with the first errors and their number, where there are any."""
        count = len(self.messages)
        if count == 0:
            return
        listed = "; ".join(self.messages[:_LISTED])
        more = f"; and {count - _LISTED} more" if count > _LISTED else ""
        errors = "1 error" if count == 1 else f"{count} errors"
        raise AnnotationError(f"{self.path}: {listed}{more} ({errors}, nothing is imported)")


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """The annotations of a file, and what is none.

    `blank` counts what nobody has labelled yet, `cancelled` what its annotator skipped (Label
    Studio knows such).
    """

    annotations: tuple[Annotation, ...]
    blank: int
    problems: Problems
    cancelled: int = 0


def parse_place(values: Mapping[str, object]) -> Place:
    """The clip or span named by the keys clip_id, call_id, start_s and end_s.

    Raises AnnotationError where there is neither, or the times are no span.
    """
    clip_id, call_id = (parse_text(values.get(key)) or None for key in ("clip_id", "call_id"))
    times = [parse_text(values.get(key)) for key in ("start_s", "end_s")]
    if call_id is None or not any(times):
        if clip_id is None:
            raise AnnotationError("neither clip_id nor call_id with start_s and end_s is given")
        return Place(clip_id, call_id, None, None)
    start_s, end_s = _seconds("start_s", times[0]), _seconds("end_s", times[1])
    if not 0 <= start_s < end_s:
        raise AnnotationError(f"start_s {start_s:g} and end_s {end_s:g} are no span of time")
    return Place(clip_id, call_id, start_s, end_s)


def parse_time(value: object) -> datetime | None:
    """An ISO 8601 time; one without a zone is in UTC, none at all is None.

    Raises AnnotationError for anything else.
    """
    text = parse_text(value)
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise AnnotationError(f"created_at '{text}' is no ISO 8601 time") from None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def parse_text(value: object) -> str:
    """Stripped text that can be stored; empty for None."""
    return "" if value is None else storable(str(value)).strip()


def _seconds(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(f"{key} '{text}' is no number of seconds")
    return value
