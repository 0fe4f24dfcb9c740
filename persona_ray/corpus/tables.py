"""The columns of the corpus's Parquet files, and records to rows and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from persona_ray.corpus.records import CallOutcome, CallResult, EncodedClip
from persona_ray.types import CallStatus, ClipInfo, QuarantineReason, Word

FORMAT_VERSION = 1

_WORD = pa.struct([("text", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())])
_MAP = pa.map_(pa.string(), pa.string())

CLIP_SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("call_id", pa.string()),
        ("customer_id", pa.string()),
        ("channel", pa.int16()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("text", pa.string()),
        ("words", pa.list_(_WORD)),
        ("scene", pa.string()),
        ("facts", _MAP),
        ("flags", pa.list_(pa.string())),
        ("audio", pa.binary()),
    ]
)
INFO_COLUMNS = [name for name in CLIP_SCHEMA.names if name != "audio"]

CALL_SCHEMA = pa.schema(
    [
        ("call_id", pa.string()),
        ("customer_id", pa.string()),
        ("audio_uri", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("channel", pa.int16()),
        ("clips", pa.int32()),
        ("dropped", pa.map_(pa.string(), pa.int32())),
        ("audio_s", pa.float64()),
        ("speech_s", pa.float64()),
        ("clips_s", pa.float64()),
        ("transcript_source", pa.string()),
        ("words", pa.list_(_WORD)),
        ("flags", pa.list_(pa.string())),
    ]
)


def clip_table(clips: Sequence[EncodedClip]) -> pa.Table:
    """One row per clip, columns of CLIP_SCHEMA."""
    return pa.Table.from_pylist([_clip_row(clip) for clip in clips], schema=CLIP_SCHEMA)


def call_table(outcomes: Iterable[CallOutcome]) -> pa.Table:
    """One row per call, columns of CALL_SCHEMA."""
    return pa.Table.from_pylist([_call_row(outcome) for outcome in outcomes], schema=CALL_SCHEMA)


def result_table(result: CallResult) -> pa.Table:
    """The clips of one call, with its outcome in the table's metadata."""
    outcome = json.dumps(_call_row(result.outcome), ensure_ascii=False, sort_keys=True)
    metadata = {"outcome": outcome, "call_id": result.outcome.call_id}
    return clip_table(result.clips).replace_schema_metadata(metadata)


def outcome_of(metadata: Mapping[bytes, bytes]) -> CallOutcome:
    """The outcome that `result_table` put there; KeyError where there is none."""
    return call_outcome(json.loads(metadata[b"outcome"]))


def clip_info(row: Mapping[str, Any]) -> ClipInfo:
    """A ClipInfo from a row as pyarrow gives it."""
    return ClipInfo(
        clip_id=row["clip_id"],
        call_id=row["call_id"],
        customer_id=row["customer_id"],
        channel=row["channel"],
        start_s=row["start_s"],
        end_s=row["end_s"],
        text=row["text"],
        words=_words(row),
        scene=row["scene"],
        facts=dict(row["facts"]),
        flags=tuple(row["flags"]),
    )


def call_outcome(row: Mapping[str, Any]) -> CallOutcome:
    """A CallOutcome from a row as pyarrow gives it."""
    reason = row["reason"]
    return CallOutcome(
        call_id=row["call_id"],
        customer_id=row["customer_id"],
        audio_uri=row["audio_uri"],
        status=CallStatus(row["status"]),
        reason=QuarantineReason(reason) if reason else None,
        detail=row["detail"],
        channel=row["channel"],
        clips=row["clips"],
        dropped=dict(row["dropped"]),
        audio_s=row["audio_s"],
        speech_s=row["speech_s"],
        clips_s=row["clips_s"],
        transcript_source=row["transcript_source"],
        words=_words(row),
        flags=tuple(row["flags"]),
    )


def word_rows(words: Sequence[Word]) -> list[dict[str, Any]]:
    """Words as the archive's JSON and the Parquet files have them."""
    return [{"text": word.text, "start_s": word.start_s, "end_s": word.end_s} for word in words]


def _clip_row(clip: EncodedClip) -> dict[str, Any]:
    info = clip.info
    return {
        "clip_id": info.clip_id,
        "call_id": info.call_id,
        "customer_id": info.customer_id,
        "channel": info.channel,
        "start_s": info.start_s,
        "end_s": info.end_s,
        "text": info.text,
        "words": word_rows(info.words),
        "scene": info.scene,
        "facts": sorted(info.facts.items()),
        "flags": list(info.flags),
        "audio": clip.audio,
    }


def _call_row(outcome: CallOutcome) -> dict[str, Any]:
    return {
        "call_id": outcome.call_id,
        "customer_id": outcome.customer_id,
        "audio_uri": outcome.audio_uri,
        "status": outcome.status.value,
        "reason": outcome.reason.value if outcome.reason else None,
        "detail": outcome.detail,
        "channel": outcome.channel,
        "clips": outcome.clips,
        "dropped": sorted(outcome.dropped.items()),
        "audio_s": outcome.audio_s,
        "speech_s": outcome.speech_s,
        "clips_s": outcome.clips_s,
        "transcript_source": outcome.transcript_source,
        "words": word_rows(outcome.words),
        "flags": list(outcome.flags),
    }


def _words(row: Mapping[str, Any]) -> tuple[Word, ...]:
    return tuple(Word(word["text"], word["start_s"], word["end_s"]) for word in row["words"])
