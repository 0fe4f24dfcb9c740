"""A collector of OpenTelemetry's spans, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from persona_ray.config.watching import TracesConfig
from persona_ray.watch import spans


class Collector:
    """`spans` are those that have come; `endpoint` is where they are sent."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.spans: list[Span] = []
        self.services: set[str] = set()

    def take(self, body: bytes) -> None:
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            for one in group.resource.attributes:
                if one.key == "service.name":
                    self.services.add(one.value.string_value)
            for scope in group.scope_spans:
                self.spans += scope.spans

    def named(self, name: str, count: int = 1, within_s: float = 10.0) -> list[Span]:
        """Those of this name, once so many have come; this process's own at once."""
        spans.flush()
        until = time.monotonic() + within_s
        while True:
            found = [one for one in list(self.spans) if one.name == name]
            if len(found) >= count:
                return found
            there = sorted({one.name for one in list(self.spans)})
            assert time.monotonic() < until, f"{len(found)} of {name}, among {there}"
            time.sleep(0.02)

    def trace(self, trace_id: str, *names: str, within_s: float = 30.0) -> dict[str, Span]:
        """The spans of a trace by name, once these have come."""
        until = time.monotonic() + within_s
        while True:
            found = {one.name: one for one in list(self.spans) if one.trace_id.hex() == trace_id}
            if found.keys() >= set(names):
                return found
            assert time.monotonic() < until, f"of {names} there are {sorted(found)}"
            time.sleep(0.02)


def attributes(span: Span) -> dict[str, Any]:
    """By name."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@contextmanager
def making_spans() -> Iterator[Collector]:
    """Within the block this process makes spans, which are collected."""
    with collecting() as found:
        spans.set_up(TracesConfig(endpoint=found.endpoint), "test")
        try:
            yield found
        finally:
            spans.close()


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens within the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            collector.take(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_address[1])
    # How often it looks whether it is to end.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
