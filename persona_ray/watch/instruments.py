"""What a figure is, and where figures go.

Names follow Prometheus: base units, `_total` for counters, `_seconds` for times. Labels hold
routes, stages, codes and colours: nothing of a caller or customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Kind(StrEnum):
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One figure: its meaning, its labels, and a histogram's bounds."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which Prometheus finds it."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


class Instruments(Protocol):
    """Where figures go: a counter grows by `value`, a histogram sees it, a gauge becomes it."""

    def record(self, instrument: Instrument, value: float, labels: Mapping[str, str]) -> None: ...


class PrometheusInstruments:
    """Figures of this process, in a registry of their own: `instruments` from the start, at zero
    where they have no labels, others once they are recorded."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        from prometheus_client import CollectorRegistry

        self.registry: CollectorRegistry = CollectorRegistry()
        self._made = {one.name: self._make(one) for one in instruments}

    def record(self, instrument: Instrument, value: float, labels: Mapping[str, str]) -> None:
        if instrument.name not in self._made:
            self._made[instrument.name] = self._make(instrument)
        made = self._made[instrument.name]
        child = made.labels(**labels) if instrument.labels else made
        match instrument.kind:
            case Kind.COUNTER:
                child.inc(value)
            case Kind.HISTOGRAM:
                child.observe(value)
            case Kind.GAUGE:
                child.set(value)

    def forget(self, instrument: Instrument) -> None:
        """All that was recorded of a figure with labels."""
        made = self._made.get(instrument.name)
        if made is not None and instrument.labels:
            made.clear()

    def text(self) -> bytes:
        """Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def _make(self, one: Instrument) -> Any:
        from prometheus_client import Counter, Gauge, Histogram

        match one.kind:
            case Kind.COUNTER:
                return Counter(one.name, one.meaning, one.labels, registry=self.registry)
            case Kind.HISTOGRAM:
                return Histogram(
                    one.name, one.meaning, one.labels, registry=self.registry, buckets=one.bounds
                )
            case Kind.GAUGE:
                return Gauge(one.name, one.meaning, one.labels, registry=self.registry)
