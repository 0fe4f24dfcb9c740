"""Spans by OpenTelemetry's SDK, sent by OTLP over HTTP; imported where spans are made.

The provider is not made the process's own: other libraries' spans are not ours to send.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from persona_ray import __version__
from persona_ray.watch.logs import Value, check_fields, log_event
from persona_ray.watch.spans import TRACEPARENT
from persona_ray.watch.trace_ids import current_trace_id, traced, w3c_id

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

    from persona_ray.watch.spans import Kind

_PATH = "/v1/traces"
_KINDS: Mapping[str, SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
}
_QUEUE, _BATCH = 2048, 512
# A process of a cluster may be killed: little is to be lost with it.
_EVERY_MS = 1000
_ANSWER_S = 5.0


class OtelMaker:
    """Makes this process's spans."""

    def __init__(self, endpoint: str, share: float, service: str) -> None:
        """`endpoint`: of the collector, with or without /v1/traces."""
        # It tells of every batch that a collector does not take.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self.endpoint, self.share, self.service = endpoint, share, service
        url = endpoint.rstrip("/")
        exporter = _Exporter(
            endpoint=url if url.endswith(_PATH) else url + _PATH, timeout=_ANSWER_S
        )
        resource = Resource.create({"service.name": service, "service.version": __version__})
        self._provider = TracerProvider(
            sampler=ParentBased(_Share(share)),
            resource=resource,
            id_generator=_Ids(),
            # `spans.close` does it, without waiting for longer than it says.
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=_QUEUE,
                schedule_delay_millis=_EVERY_MS,
                max_export_batch_size=_BATCH,
            )
        )
        self._tracer = self._provider.get_tracer("persona_ray", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, name: str, kind: Kind, attributes: Mapping[str, Value], parent: str = ""
    ) -> Iterator[OtelSpan]:
        """See `spans.span`. `parent`: a traceparent that it is below."""
        with self._tracer.start_as_current_span(
            name,
            self._below(parent),
            _KINDS[kind],
            _plain(attributes),
            # An exception's message may repeat what a customer said.
            record_exception=False,
            set_status_on_exception=False,
        ) as made:
            found = OtelSpan(made)
            trace_id = current_trace_id() or f"{made.get_span_context().trace_id:032x}"
            try:
                with traced(trace_id):
                    yield found
            except Exception as error:
                found.failed(type(error).__qualname__)
                raise

    def passed(
        self, name: str, seconds: float, attributes: Mapping[str, Value], parent: str
    ) -> None:
        """See `spans.passed`."""
        now = time.time_ns()
        begun = now - round(seconds * 1e9)
        made = self._tracer.start_span(
            name, self._below(parent), attributes=_plain(attributes), start_time=begun
        )
        made.end(now)

    def traceparent(self) -> str:
        """Of the span that is open; empty where none is."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        # This header alone: its companion `tracestate` is a caller's own text.
        return carrier.get(TRACEPARENT, "")

    def _below(self, parent: str) -> Context | None:
        """None: below the span that is open. What is no traceparent is below nothing."""
        return self._propagator.extract({TRACEPARENT: parent}) if parent else None

    def flush(self) -> None:
        self._provider.force_flush()

    def close(self) -> None:
        self._provider.shutdown()


class OtelSpan:
    """Implements Span."""

    def __init__(self, made: trace.Span) -> None:
        self._made = made

    def note(self, **attributes: Value) -> None:
        """See Span."""
        check_fields(attributes)
        self._made.set_attributes(_plain(attributes))

    def rename(self, name: str) -> None:
        """See Span."""
        self._made.update_name(name)

    def failed(self, kind: str) -> None:
        """See Span."""
        self._made.set_status(trace.StatusCode.ERROR, kind)
        self._made.set_attribute("error", kind)


class _Ids(RandomIdGenerator):
    """A trace is called as its request or job is."""

    def generate_trace_id(self) -> int:
        current = current_trace_id()
        return int(w3c_id(current), 16) if current else super().generate_trace_id()


class _Share(Sampler):
    """Keeps a share of the traces, the same in every process. By a hash: the SDK's own takes half
    of the trace id for random, which in a UUID begins with fixed bits."""

    def __init__(self, share: float) -> None:
        self._bound = round(share * 2**64)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See Sampler."""
        del parent_context, name, kind, links
        digest = hashlib.sha256(trace_id.to_bytes(16)).digest()
        kept = int.from_bytes(digest[:8]) < self._bound
        decision = Decision.RECORD_AND_SAMPLE if kept else Decision.DROP
        return SamplingResult(decision, attributes if kept else None, trace_state)

    def get_description(self) -> str:
        """See Sampler."""
        return "a share of the traces, by their hash"


class _Exporter(OTLPSpanExporter):
    """Says once that spans are lost, and once that they arrive again."""

    _lost = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        result = super().export(spans)
        lost = result is not SpanExportResult.SUCCESS
        if lost != self._lost:
            self._lost = lost
            log_event("spans are lost: no collector takes them" if lost else "spans arrive again")
        return result


def _plain(attributes: Mapping[str, Value]) -> dict[str, str | int | float | bool | list[str]]:
    """Without those that are not known."""
    return {name: value for name, value in attributes.items() if value is not None}
