"""Spans: nothing where they are off; parents, trace ids and errors where they are on."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import pytest

from persona_ray.watch import spans
from persona_ray.watch.trace_ids import current_trace_id, traced, w3c_id
from tests.collector import Collector, attributes, making_spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
# Too short for what one call costs to be seen beside a process that is not alone.
MOST_OFF_US = 10.0


@pytest.fixture
def collector() -> Iterator[Collector]:
    with making_spans() as found:
        yield found


def test_off_they_cost_nothing_and_load_nothing() -> None:
    code = """
import sys, timeit
from persona_ray.watch import spans
def one():
    with spans.span("judging", clips=3):
        pass
assert spans.span("judging") is spans.span("asr")
print(min(timeit.repeat(one, number=2000, repeat=5)) / 2000 * 1e6)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    cost_us, loaded = done.stdout.splitlines()
    assert float(cost_us) < MOST_OFF_US
    assert loaded == "[]"


def test_an_attribute_that_is_no_field_of_the_log_is_an_error_on_or_off(
    collector: Collector,
) -> None:
    for _ in ("on", "off"):
        with pytest.raises(ValueError, match="'text' is no field"), spans.span("a", text="你好"):
            pass
        spans.close()
    assert collector.spans == []


def test_spans_within_spans_are_one_trace_called_as_its_request(collector: Collector) -> None:
    request = str(uuid.uuid4())
    with traced(w3c_id(request)), spans.span("outer", clips=2) as outer:
        with spans.span("inner", stage="asr", code=None):
            assert current_trace_id() == request.replace("-", "")
        outer.note(status=200)
    (inner,), (whole,) = collector.named("inner"), collector.named("outer")
    assert inner.parent_span_id == whole.span_id
    assert inner.trace_id.hex() == whole.trace_id.hex() == request.replace("-", "")
    assert attributes(whole) == {"clips": 2, "status": 200}
    assert attributes(inner) == {"stage": "asr"}
    assert collector.services == {"test"}


def test_an_error_is_told_by_its_kind_alone(collector: Collector) -> None:
    with pytest.raises(KeyError), spans.span("a"):
        raise KeyError("王小明")
    (found,) = collector.named("a")
    assert (found.status.code, found.status.message) == (2, "KeyError")
    assert not found.events
    assert "王小明" not in str(found)


def test_a_place_is_carried_to_where_the_work_is_done(collector: Collector) -> None:
    with spans.work("job") as _, spans.span("stage"):
        place = spans.carried()
        trace_id = current_trace_id()
    assert place.endpoint == collector.endpoint
    with spans.continued(place, "worker", rank=1):
        assert current_trace_id() == trace_id
        spans.passed("epoch", 2.0, epoch=3)
    (worker,), (stage,), (epoch,) = map(collector.named, ("worker", "stage", "epoch"))
    assert worker.parent_span_id == stage.span_id
    assert epoch.parent_span_id == worker.span_id
    assert epoch.end_time_unix_nano - epoch.start_time_unix_nano == 2_000_000_000
    assert {one.trace_id.hex() for one in collector.spans} == {trace_id}


def test_without_spans_the_trace_id_is_carried_all_the_same() -> None:
    with traced("request-7"):
        place = spans.carried()
    with spans.continued(place, "worker"):
        assert current_trace_id() == "request-7"
    assert current_trace_id() == ""


@pytest.mark.parametrize(("flags", "kept"), [("01", True), ("00", False)])
def test_a_callers_trace_goes_on_and_the_caller_says_whether_it_is_kept(
    collector: Collector, flags: str, kept: bool
) -> None:
    parent = f"{PARENT[:-2]}{flags}"
    with traced(TRACE), spans.received("request", parent), spans.span("stage"):
        assert spans.carried().parent.split("-")[1::2] == [TRACE, flags]
    spans.flush()
    found = [one for one in collector.spans if one.name == "request"]
    assert [one.parent_span_id.hex() for one in found] == ["00f067aa0ba902b7"] * kept


def test_a_job_goes_on_with_the_trace_of_its_environment(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT)
    with spans.work("job"):
        assert current_trace_id() == TRACE
    (job,) = collector.named("job")
    assert (job.trace_id.hex(), job.parent_span_id.hex()) == (TRACE, "00f067aa0ba902b7")


@pytest.mark.parametrize("parent", [f"00-{'0' * 32}-00f067aa0ba902b7-01", "nonsense"])
def test_an_environment_that_names_no_trace_is_not_heeded(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, parent: str
) -> None:
    monkeypatch.setenv("TRACEPARENT", parent)
    with spans.work("job"):
        trace_id = current_trace_id()
    (job,) = collector.named("job")
    assert job.trace_id.hex() == trace_id != "0" * 32
    assert not job.parent_span_id


def test_another_collector_takes_over_and_the_first_gets_what_is_its(
    collector: Collector,
) -> None:
    with spans.span("first"):
        pass
    with making_spans() as other, spans.span("second"):
        pass
    assert [one.name for one in other.spans] == ["second"]
    until = time.monotonic() + 0.5
    while not collector.spans and time.monotonic() < until:
        time.sleep(0.01)
    assert [one.name for one in collector.spans] == ["first"]


def test_half_of_the_traces_is_half_of_uuids() -> None:
    from persona_ray.watch.otel import _Share

    half = _Share(0.5)
    kept = sum(
        half.should_sample(None, uuid.uuid4().int, "a").decision.value > 0 for _ in range(400)
    )
    assert 140 < kept < 260
    assert all(_Share(1.0).should_sample(None, n, "a").decision.value > 0 for n in (1, 2**128 - 1))


def test_a_collector_that_is_away_costs_its_spans_alone() -> None:
    """Nothing on standard error, an exit in time; one that takes connections and never answers is
    the worst of them."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        code = f"""
import time
from persona_ray.config.watching import TracesConfig
from persona_ray.watch import spans
spans.set_up(TracesConfig(endpoint="http://127.0.0.1:{port}"), "test")
for _ in range(5000):
    with spans.span("a"):
        pass
print(time.time(), flush=True)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        left_s = time.time() - float(done.stdout)
    assert done.stderr == ""
    assert left_s < 4.0
