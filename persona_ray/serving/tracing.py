"""The trace id: one name for a request through all hops, given back in its answer.

A client's own is kept: W3C's `traceparent` (its trace id) or the header `x-trace-id`. Otherwise it
is the `x-request-id` that Ray Serve gives every request and hands on to all deployments, so that
Serve's own log of each replica has it too; where a client's own differs, the ingress logs both. It
lies in a context variable, which tasks and `asyncio.to_thread` inherit.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "x-trace-id"
REQUEST_ID = "x-request-id"
_CURRENT: ContextVar[str] = ContextVar("persona_ray_trace_id", default="")
# https://www.w3.org/TR/trace-context-2/#traceparent-header: all zeros means no trace.
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$")
# Of an id that is fit for a log.
FIT = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


def current_trace_id() -> str:
    """Of the request being answered; empty outside of one."""
    return _CURRENT.get()


def trace_id_of(headers: Mapping[str, str]) -> str:
    """The client's trace id (keys in lower case), or a new one where it sent none that is fit for a
    log."""
    parent = _TRACEPARENT.match(headers.get("traceparent", "").strip())
    if parent is not None:
        return parent.group(1)
    for name in (HEADER, REQUEST_ID):
        own = headers.get(name, "")
        if FIT.match(own):
            return own
    return uuid.uuid4().hex


@contextmanager
def traced(trace_id: str) -> Iterator[str]:
    """Within it, `current_trace_id` gives `trace_id`."""
    token = _CURRENT.set(trace_id)
    try:
        yield trace_id
    finally:
        _CURRENT.reset(token)
