"""Spans of OpenTelemetry: what was done when, of one request or job, over all processes.

    with span("judging", clips=3) as made:
        made.note(status=200)

Where `watching.traces.endpoint` is empty a span is nothing: no object is made, and nothing of
OpenTelemetry is imported. Attributes are fields of the log (`logs.FIELDS`): nothing of a caller. An
error is noted by its kind.

The place in a trace goes to another process as a `Carried`, with the work: `carried()` there,
`continued(...)` here. It has the trace id and the fields of the log, too, with spans or without.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, Self, TypeVar, cast

from persona_ray.watch.logs import (
    Value,
    check_fields,
    configure_logs,
    fields_within,
    structured,
    within,
)
from persona_ray.watch.trace_ids import current_trace_id, trace_id_in, traced

if TYPE_CHECKING:
    from persona_ray.config.watching import TracesConfig
    from persona_ray.watch.otel import OtelMaker

P = ParamSpec("P")
T = TypeVar("T")
Kind = Literal["internal", "server", "client"]

# The header, and the variable of the environment, that name the parent of what is begun.
TRACEPARENT = "traceparent"
# How long a process waits at its end for a collector.
_FLUSH_S = 1.0


class Span(Protocol):
    """Something that is being done."""

    def note(self, **attributes: Value) -> None:
        """Attributes that are known only now."""
        ...

    def rename(self, name: str) -> None: ...

    def failed(self, kind: str) -> None:
        """By an error of this kind."""
        ...


class _Silent:
    def note(self, **attributes: Value) -> None:
        """Nobody listens."""

    def rename(self, name: str) -> None:
        """Nobody listens."""

    def failed(self, kind: str) -> None:
        """Nobody listens."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


# Where no spans are made, and for what none is made of.
SILENT = _Silent()
_maker: OtelMaker | None = None
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Carried:
    """A place in a trace, on its way to another process. `parent`: a traceparent, empty where no
    span is open. `json_logs`: that process writes structured logs, too."""

    endpoint: str = ""
    share: float = 1.0
    service: str = ""
    parent: str = ""
    trace_id: str = ""
    json_logs: bool = False
    fields: Mapping[str, Value] = field(default_factory=dict)


NOWHERE = Carried()


def set_up(config: TracesConfig, service: str) -> None:
    """Make spans in this process from now on, as `service`, where `config` names a collector.
    Called again with the same, nothing changes."""
    if config.endpoint:
        _make(config.endpoint, config.share, service)


def made() -> bool:
    """Whether this process makes spans."""
    return _maker is not None


def span(
    name: str, *, kind: Kind = "internal", **attributes: Value
) -> AbstractContextManager[Span]:
    """What the block does, below the span that is open, else as a trace of its own. ValueError for
    an attribute that is no field of the log."""
    return _opened(name, kind, attributes)


def received(name: str, traceparent: str) -> AbstractContextManager[Span]:
    """A request that came with the header `traceparent` (empty: none): its caller's trace goes
    on, and its caller said whether it is kept."""
    return _opened(name, "server", {}, traceparent)


def passed(name: str, seconds: float, place: Carried = NOWHERE, **attributes: Value) -> None:
    """Something that took so long until now; below the span of `place`, else the one that is
    open."""
    check_fields(attributes)
    maker = _maker
    if maker is not None:
        maker.passed(name, seconds, attributes, place.parent)


def outgoing() -> dict[str, str]:
    """Headers of a request to somebody else; none where no span is open."""
    parent = carried().parent
    return {TRACEPARENT: parent} if parent else {}


@contextmanager
def work(name: str, trace_id: str = "", **attributes: Value) -> Iterator[Span]:
    """A piece of work that nobody's request is: a trace of its own, but below the span that is
    open, or that the environment's TRACEPARENT names. Its logs have its trace id. `trace_id`: what
    to call it where no spans are made."""
    parent = "" if current_trace_id() else os.environ.get(TRACEPARENT.upper(), "")
    parents = trace_id_in(parent)
    with ExitStack() as stack:
        if parents:
            stack.enter_context(traced(parents))
        elif not current_trace_id():
            new = os.urandom(16).hex()
            stack.enter_context(traced(new if made() else trace_id or new))
        yield stack.enter_context(_opened(name, "internal", attributes, parent if parents else ""))


def carried() -> Carried:
    """The place of this process now."""
    maker = _maker
    here = (current_trace_id(), structured(), dict(fields_within()))
    if maker is None:
        return Carried("", 1.0, "", "", *here)
    return Carried(maker.endpoint, maker.share, maker.service, maker.traceparent(), *here)


@contextmanager
def continued(place: Carried, name: str, **attributes: Value) -> Iterator[Span]:
    """Like `span`, below the one that `place` is of; this process becomes one that makes spans, if
    that one is."""
    if place.endpoint:
        _make(place.endpoint, place.share, place.service)
    if place.json_logs and not structured():
        configure_logs()
    with ExitStack() as stack:
        if place.trace_id:
            stack.enter_context(traced(place.trace_id))
        if place.fields:
            stack.enter_context(within(**place.fields))
        yield stack.enter_context(_opened(name, "internal", attributes, place.parent))


def hop(
    name: str | Callable[[Any], str],
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """For methods that other processes call: they take `place=carried()` beside their arguments,
    and are a span of the caller's trace. `name`: of the span, or how the object has it."""

    def wrap(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @functools.wraps(method)
        async def placed(*args: Any, place: Carried = NOWHERE, **named: Any) -> T:
            with continued(place, name if isinstance(name, str) else name(args[0])):
                return await cast("Callable[..., Coroutine[Any, Any, T]]", method)(*args, **named)

        return cast("Callable[P, Coroutine[Any, Any, T]]", placed)

    return wrap


def flush() -> None:
    """Send what is waiting: before a process is ended without its own doing. It takes 1 s at
    most, whoever does not answer."""
    maker = _maker
    if maker is not None:
        _within(maker.flush)


def close() -> None:
    """No spans any more; what is waiting is sent, as `flush` does."""
    global _maker
    with _lock:
        maker, _maker = _maker, None
    if maker is not None:
        _within(maker.close)


def _opened(
    name: str, kind: Kind, attributes: Mapping[str, Value], parent: str = ""
) -> AbstractContextManager[Span]:
    check_fields(attributes)
    # Another thread may end it any time.
    maker = _maker
    return SILENT if maker is None else maker.span(name, kind, attributes, parent)


def _make(endpoint: str, share: float, service: str) -> None:
    global _maker
    with _lock:
        former = _maker
        if former is not None and (former.endpoint, former.share) == (endpoint, share):
            return
        from persona_ray.watch.otel import OtelMaker

        _maker = OtelMaker(endpoint, share, service)
    if former is None:
        atexit.register(close)
    else:
        _within(former.close)


def _within(send: Callable[[], object]) -> None:
    sender = threading.Thread(target=send, name="spans", daemon=True)
    sender.start()
    sender.join(_FLUSH_S)
