"""The trace id: one name for a request through all hops, given back in its answer.

A client's own is kept: W3C's `traceparent` (its trace id) or the header `x-trace-id`. Otherwise it
is the `x-request-id` that Ray Serve gives every request and hands on to all deployments, so that
Serve's own log of each replica has it too; where a client's own differs, the ingress logs both.
Where spans are made (`watching.traces`) it is the trace id of the request's span: Serve's without
its dashes. For a client's own that is no number of W3C's, the span has `w3c_id` of it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from persona_ray.watch.spans import TRACEPARENT, made
from persona_ray.watch.trace_ids import trace_id_in, w3c_id

HEADER = "x-trace-id"
REQUEST_ID = "x-request-id"
# Of an id that is fit for a log.
FIT = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


def trace_id_of(headers: Mapping[str, str]) -> str:
    """The client's trace id (keys in lower case), or a new one where it sent none that is fit for a
    log."""
    parents = trace_id_in(headers.get(TRACEPARENT, ""))
    if parents:
        return parents
    own = headers.get(HEADER, "")
    if FIT.match(own):
        return own
    given = headers.get(REQUEST_ID, "")
    if FIT.match(given):
        return w3c_id(given) if made() else given
    return uuid.uuid4().hex
