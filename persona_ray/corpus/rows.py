"""Rows of the business database to checked call records."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from persona_ray.asr.text import storable
from persona_ray.corpus.records import BadRow
from persona_ray.types import CallRecord, QuarantineReason, Transcript, Word

# The source of transcripts that the archive has, where those of a recogniser have its name.
ARCHIVE_SOURCE = "archive"
REQUIRED_COLUMNS = ("call_id", "customer_id", "audio_uri", "customer_channel")
# What a call is promised to have where the database does not say: both sides, apart.
_DEFAULT_CHANNELS = 2
_MAX_CHANNELS = 32
_FACT = "fact_"
# Columns in which all rows of one call must agree.
_IDENTITY = ("customer_id", "audio_uri", "customer_channel", "channels")

Row = Mapping[str, Any]


class _BadRowError(Exception):
    """One row makes no call, and why."""

    def __init__(self, detail: str, reason: QuarantineReason = QuarantineReason.BAD_ROW) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason


def call_from_rows(rows: Sequence[Row], transcripts: bool = True) -> CallRecord | BadRow:
    """One call from all its rows (one for each transcript it has).

    `rows` have lower-case keys and share `call_id`. With `transcripts` false the archive's own
    transcripts are not looked at. The result does not depend on the order of the rows.
    """
    rows = sorted(rows, key=_canonical)
    try:
        return _record(rows, transcripts)
    except _BadRowError as bad:
        return BadRow(
            call_id=row_key(rows[0]),
            reason=bad.reason,
            detail=bad.detail,
            customer_id=_text(rows[0].get("customer_id")),
            audio_uri=_text(rows[0].get("audio_uri")),
        )


def row_key(row: Row) -> str:
    """The call id as text; for a row without one, `row:` and a hash of what it holds."""
    if _text(row.get("call_id")):
        return storable(str(row["call_id"]))
    return "row:" + hashlib.sha256(_canonical(row).encode()).hexdigest()[:16]


def _record(rows: Sequence[Row], with_transcripts: bool) -> CallRecord:
    first = rows[0]
    if not _text(first.get("call_id")):
        raise _BadRowError("call_id is null or empty")
    for name in _IDENTITY:
        values = sorted({repr(row.get(name)) for row in rows})
        if len(values) > 1:
            raise _BadRowError(
                f"call_id stands for several calls: {name} is {' and '.join(values[:3])}"
            )
    for name in ("customer_id", "audio_uri"):
        if not _text(first.get(name)):
            raise _BadRowError(f"{name} is null or empty")
    channels = _DEFAULT_CHANNELS
    if first.get("channels") is not None:
        channels = _integer(first, "channels")
        if not 1 <= channels <= _MAX_CHANNELS:
            raise _BadRowError(f"channels = {channels}: must be 1 to {_MAX_CHANNELS}")
    customer_channel = _integer(first, "customer_channel")
    if not 0 <= customer_channel < channels:
        raise _BadRowError(
            f"customer_channel = {customer_channel}: must be 0 to {channels - 1}, "
            f"as the call has {channels} channel(s)"
        )
    return CallRecord(
        call_id=row_key(first),
        customer_id=_text(first["customer_id"]),
        audio_uri=_text(first["audio_uri"]),
        customer_channel=customer_channel,
        channels=channels,
        scene=_text(first.get("scene")),
        duration_s=_duration(first),
        facts={
            name.removeprefix(_FACT): _text(value)
            for name, value in first.items()
            if name.startswith(_FACT) and value is not None
        },
        transcripts=_transcripts(rows, channels, customer_channel) if with_transcripts else {},
    )


def _transcripts(
    rows: Sequence[Row], channels: int, customer_channel: int
) -> dict[int, Transcript]:
    found: dict[int, Transcript] = {}
    for row in rows:
        words = row.get("transcript_words")
        if words is None:
            continue
        channel = customer_channel
        if "transcript_channel" in row:
            try:
                channel = _integer(row, "transcript_channel")
            except _BadRowError as bad:
                raise _BadRowError(bad.detail, QuarantineReason.BAD_TRANSCRIPT) from None
        if not 0 <= channel < channels:
            raise _BadRowError(
                f"transcript_channel = {channel}: the call has {channels} channel(s), from 0",
                QuarantineReason.BAD_TRANSCRIPT,
            )
        transcript = Transcript(_words(words), source=ARCHIVE_SOURCE, channel=channel)
        if found.setdefault(channel, transcript) != transcript:
            raise _BadRowError(
                f"two different transcripts of channel {channel}", QuarantineReason.BAD_TRANSCRIPT
            )
    return found


def _words(value: Any) -> tuple[Word, ...]:
    """PostgreSQL hands JSON columns over as lists, other databases as text."""
    if isinstance(value, str | bytes | bytearray | memoryview):
        try:
            decoded = value if isinstance(value, str) else bytes(value).decode("utf-8")
            value = json.loads(decoded)
        except ValueError as error:
            raise _bad_words(f"no JSON: {error}") from None
        except RecursionError:
            raise _bad_words("nested too deeply") from None
    if not isinstance(value, list):
        raise _bad_words(f"a list of words is needed, not {type(value).__name__}")
    words = []
    for number, item in enumerate(value):
        if not isinstance(item, dict):
            raise _bad_words(f"word {number} is {type(item).__name__}, not an object")
        text = item.get("text")
        if not isinstance(text, str):
            raise _bad_words(f"word {number} has no text")
        start_s, end_s = (_seconds(item, name, number) for name in ("start_s", "end_s"))
        if end_s < start_s:
            raise _bad_words(f"word {number} ends at {end_s:g} s, before it starts")
        words.append(Word(storable(text), start_s, end_s))
    # Some recognisers list words by channel or segment; sentences need them in order of time.
    return tuple(sorted(words, key=lambda word: word.start_s))


def _seconds(item: Mapping[str, Any], name: str, number: int) -> float:
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad_words(f"word {number} has no {name}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not (math.isfinite(seconds) and seconds >= 0):
        raise _bad_words(f"word {number}: {name} = {value}")
    return seconds


def _bad_words(what: str) -> _BadRowError:
    return _BadRowError(f"transcript_words: {what}", QuarantineReason.BAD_TRANSCRIPT)


def _integer(row: Row, name: str) -> int:
    """Databases hold small numbers as integer, decimal, float, bool or text."""
    value = row.get(name)
    try:
        number = float(value)  # type: ignore[arg-type]
        if number.is_integer():
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise _BadRowError(f"{name} = {value!r}: must be a whole number")


def _duration(row: Row) -> float | None:
    """Many databases write 0 where the length is not known."""
    value = row.get("duration_s")
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise _BadRowError(f"duration_s = {value!r}: must be a number of seconds") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise _BadRowError(f"duration_s = {value!r}: must be 0 or more seconds")
    return seconds or None


def _text(value: Any) -> str:
    return "" if value is None else storable(str(value)).strip()


def _canonical(row: Row) -> str:
    return repr(sorted((name, repr(value)) for name, value in row.items()))
