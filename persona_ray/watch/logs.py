"""Structured logs: one JSON object per line, under the trace id.

Nobody's voice or words go into a log. An event has fields from a fixed list only, and no field of
that list holds audio, text, a file's name or a customer's id; another field is an error, which
tests see. An exception is logged by its kind and the places it passed, not by its message.

A service's logs are always such lines. Jobs and commands write them where `watching.logs` is json;
otherwise warnings go to the terminal as they are.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import IO

from persona_ray.watch.trace_ids import current_trace_id

# Every logger of the product is below it.
LOGGER = logging.getLogger("persona_ray")
FIELDS = frozenset(
    {
        "attempt",
        "audio_s",
        "bytes",
        "calls",
        "clips",
        "code",
        "deployment",
        "done",
        "epoch",
        "error",
        "figures",
        "host",
        "job_id",
        "key_id",
        "method",
        "model",
        "places",
        "port",
        "rank",
        "replica",
        "request_id",
        "route",
        "run_id",
        "seconds",
        "sentences",
        "share",
        "stage",
        "state",
        "status",
        "total",
        "trial",
        "updates",
        "version",
        "workers",
    }
)
_MOST_PLACES = 12

Value = str | int | float | bool | None | list[str]
_WITHIN: ContextVar[Mapping[str, Value]] = ContextVar("persona_ray_log_fields")


def check_fields(fields: Mapping[str, object]) -> None:
    """ValueError for one that is not of `FIELDS`."""
    if not fields.keys() <= FIELDS:
        unknown = min(fields.keys() - FIELDS)
        raise ValueError(f"'{unknown}' is no field of the log: {', '.join(sorted(FIELDS))}")


def log_event(event: str, level: int = logging.INFO, **fields: Value) -> None:
    """Log `event` with fields of `FIELDS`; ValueError for another."""
    check_fields(fields)
    LOGGER.log(level, event, extra={"persona_ray": fields})


def log_exception(event: str, error: BaseException, **fields: Value) -> None:
    """Log an exception without its message, which may repeat what a customer said."""
    log_event(event, logging.ERROR, **_told(error, error.__traceback__), **fields)


def fields_within() -> Mapping[str, Value]:
    """What every line of this context has."""
    return _WITHIN.get({})


@contextmanager
def within(**fields: Value) -> Iterator[MutableMapping[str, Value]]:
    """Every line that is written inside has these fields, too, and those that the yielded map is
    given. ValueError for one that is not of `FIELDS`."""
    check_fields(fields)
    known = {**fields_within(), **fields}
    token = _WITHIN.set(known)
    try:
        yield known
    finally:
        _WITHIN.reset(token)


class JsonFormatter(logging.Formatter):
    """One line of JSON: time, level, event, trace id, fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Value] = {**fields_within(), **getattr(record, "persona_ray", {})}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= _told(record.exc_info[1], record.exc_info[2])
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "trace_id": current_trace_id(),
            **fields,
        }
        return json.dumps(line, ensure_ascii=False)


def configure_logs(stream: IO[str] | None = None, level: int = logging.INFO) -> None:
    """Write this process's events and warnings to `stream` (default: standard error) as JSON. Safe
    to call again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level)


@contextmanager
def only_errors() -> Iterator[None]:
    """Of what this process logs inside, errors alone are written."""
    before = LOGGER.level
    LOGGER.setLevel(logging.ERROR)
    try:
        yield
    finally:
        LOGGER.setLevel(before)


def structured() -> bool:
    """Whether this process writes JSON."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in LOGGER.handlers)


def _told(error: BaseException, passed: TracebackType | None) -> dict[str, Value]:
    frames = traceback.extract_tb(passed)[-_MOST_PLACES:]
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames
    ]
    return {"error": type(error).__qualname__, "places": places}
