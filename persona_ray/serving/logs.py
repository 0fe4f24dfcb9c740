"""Structured logs: one JSON object per line, under the trace id.

Nobody's voice or words go into a log. An event has fields from a fixed list only, and no field of
that list holds audio, text, a file's name or a customer's id; another field is an error, which
tests see. An exception is logged by its kind and the places it passed, not by its message.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import IO

from persona_ray.serving.tracing import current_trace_id

LOGGER = logging.getLogger("persona_ray.serving")
FIELDS = frozenset(
    {
        "attempt",
        "audio_s",
        "bytes",
        "calls",
        "clips",
        "code",
        "deployment",
        "error",
        "host",
        "job_id",
        "key_id",
        "method",
        "model",
        "places",
        "port",
        "replica",
        "request_id",
        "route",
        "seconds",
        "sentences",
        "share",
        "state",
        "status",
        "version",
    }
)
_MOST_PLACES = 12

Value = str | int | float | bool | None | list[str]


def log_event(event: str, level: int = logging.INFO, **fields: Value) -> None:
    """Log `event` with fields of `FIELDS`; ValueError for another."""
    unknown = sorted(fields.keys() - FIELDS)
    if unknown:
        raise ValueError(f"'{unknown[0]}' is no field of the log: {', '.join(sorted(FIELDS))}")
    extra = {"trace_id": current_trace_id(), "fields": fields}
    LOGGER.log(level, event, extra={"persona_ray": extra})


def log_exception(event: str, error: BaseException, **fields: Value) -> None:
    """Log an exception without its message, which may repeat what a customer said."""
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_PLACES:]
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames
    ]
    log_event(event, logging.ERROR, error=type(error).__qualname__, places=places, **fields)


class JsonFormatter(logging.Formatter):
    """One line of JSON: time, level, event, trace id, fields."""

    def format(self, record: logging.LogRecord) -> str:
        extra = getattr(record, "persona_ray", {"trace_id": current_trace_id(), "fields": {}})
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "trace_id": extra["trace_id"],
            **extra["fields"],
        }
        return json.dumps(line, ensure_ascii=False)


def configure_logs(stream: IO[str] | None = None, level: int = logging.INFO) -> None:
    """Write this process's events to `stream` (default: standard error). Safe to call again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False
