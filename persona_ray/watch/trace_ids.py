"""The trace id: one name for a request, or for a run of a job, through all processes.

It lies in a context variable, which tasks, `asyncio.to_thread` and `contextvars.copy_context`
inherit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CURRENT: ContextVar[str] = ContextVar("persona_ray_trace_id", default="")
# https://www.w3.org/TR/trace-context-2/#trace-id: all zeros means no trace.
_ID = r"(?!0{32})[0-9a-f]{32}"
_TRACEPARENT = re.compile(rf"[0-9a-f]{{2}}-({_ID})-[0-9a-f]{{16}}-[0-9a-f]{{2}}(-.*)?")


def current_trace_id() -> str:
    """Of the request being answered, or of the job; empty outside of one."""
    return _CURRENT.get()


@contextmanager
def traced(trace_id: str) -> Iterator[str]:
    """Within it, `current_trace_id` gives `trace_id`."""
    token = _CURRENT.set(trace_id)
    try:
        yield trace_id
    finally:
        _CURRENT.reset(token)


def w3c_id(trace_id: str) -> str:
    """The 32 hexadecimal digits that a span's trace has for `trace_id`: itself where it is such a
    number, with dashes (a UUID) or without; of another the beginning of its SHA-256."""
    plain = trace_id.replace("-", "")
    if re.fullmatch(_ID, plain):
        return plain
    return hashlib.sha256(trace_id.encode()).hexdigest()[:32]


def trace_id_in(traceparent: str) -> str:
    """The trace id of W3C's header of that name; empty where it names none."""
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    return "" if found is None else found.group(1)
