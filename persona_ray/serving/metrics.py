"""What is counted, for Prometheus.

The ingress gives its figures at /metrics (`prometheus_client`). Deployments run in other processes,
maybe on other machines: there the same instruments are Ray's (`RayInstruments`), which the metrics
agent of each node exports, and an ingress on Ray counts into both. Several ingress replicas behind
one address each answer /metrics for themselves; on a cluster scrape Ray's agents.

Labels hold routes, codes and colours: nothing of a caller or customer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from persona_ray.serving.drift import CONFIDENCE_BINS, Drift, Evaluated
from persona_ray.types import NothingUsable, Recognition

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from persona_ray.serving.service import ServedModel

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


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


REQUESTS = Instrument(
    "persona_requests_total", Kind.COUNTER, "requests", ("route", "method", "status")
)
REQUEST_SECONDS = Instrument(
    "persona_request_seconds", Kind.HISTOGRAM, "time of a request", ("route",), _SECONDS
)
REFUSED = Instrument("persona_refused_total", Kind.COUNTER, "requests refused, by code", ("code",))
STAGE_SECONDS = Instrument(
    "persona_stage_seconds", Kind.HISTOGRAM, "time of a stage", ("stage",), _SECONDS
)
BATCH_SIZE = Instrument(
    "persona_batch_size", Kind.HISTOGRAM, "items of a dynamic batch", ("stage",), _SIZES
)
AUDIO_SECONDS = Instrument(
    "persona_audio_seconds_total", Kind.COUNTER, "seconds of audio recognised", ("kind",)
)
COLOURS = Instrument(
    "persona_colours_total", Kind.COUNTER, "answers, by colour (none: nothing usable)", ("colour",)
)
CONFIDENCE = Instrument(
    "persona_confidence",
    Kind.HISTOGRAM,
    "probability of an answer's primary colour, per sentence",
    (),
    tuple((number + 1) / CONFIDENCE_BINS for number in range(CONFIDENCE_BINS)),
)
DRIFT = Instrument(
    "persona_confidence_drift",
    Kind.GAUGE,
    "population stability index of the last answers' confidence against the evaluation's; over "
    "0.25 is taken as a changed population",
    # With a label it is not there before it is known: 0 would say that there is no drift.
    ("against",),
)
LIVE_CALLS = Instrument("persona_live_calls", Kind.GAUGE, "live calls held now")
ROLLOUT = Instrument(
    "persona_rollout_total",
    Kind.COUNTER,
    "requests beside a challenger, by what became of them; rolled_back: a challenger was",
    ("event",),
)
SCREENED = Instrument(
    "persona_screened_total", Kind.COUNTER, "screened calls that ended, by outcome", ("outcome",)
)
DECISION_SECONDS = Instrument(
    "persona_screening_decision_seconds",
    Kind.HISTOGRAM,
    "from the start of a call to what it is taken for",
    (),
    _SECONDS,
)
ASSIST_PUSHES = Instrument(
    "persona_assist_pushes_total",
    Kind.COUNTER,
    "pushes that were sent, seen, dropped as late, or failed",
    ("state",),
)
ASSIST_FEEDBACK = Instrument(
    "persona_assist_feedback_total", Kind.COUNTER, "feedback on pushes, by action", ("action",)
)
INSTRUMENTS = (
    REQUESTS,
    REQUEST_SECONDS,
    REFUSED,
    STAGE_SECONDS,
    BATCH_SIZE,
    AUDIO_SECONDS,
    COLOURS,
    CONFIDENCE,
    DRIFT,
    LIVE_CALLS,
    ROLLOUT,
    SCREENED,
    DECISION_SECONDS,
    ASSIST_PUSHES,
    ASSIST_FEEDBACK,
)


class Instruments(Protocol):
    """Where figures go: a counter grows by `value`, a histogram sees it, a gauge becomes it."""

    def record(self, instrument: Instrument, value: float, labels: Mapping[str, str]) -> None: ...


class PrometheusInstruments:
    """Figures of this process, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry

        self.registry: CollectorRegistry = CollectorRegistry()
        self._made = {one.name: self._make(one) for one in INSTRUMENTS}

    def record(self, instrument: Instrument, value: float, labels: Mapping[str, str]) -> None:
        made = self._made[instrument.name]
        child = made.labels(**labels) if instrument.labels else made
        match instrument.kind:
            case Kind.COUNTER:
                child.inc(value)
            case Kind.HISTOGRAM:
                child.observe(value)
            case Kind.GAUGE:
                child.set(value)

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


class RayInstruments:
    """The same figures by Ray, for processes of a cluster."""

    def __init__(self) -> None:
        from ray.util import metrics

        made: dict[str, Any] = {}
        for one in INSTRUMENTS:
            match one.kind:
                case Kind.COUNTER:
                    made[one.name] = metrics.Counter(one.name, one.meaning, one.labels)
                case Kind.HISTOGRAM:
                    made[one.name] = metrics.Histogram(
                        one.name, one.meaning, list(one.bounds), one.labels
                    )
                case Kind.GAUGE:
                    made[one.name] = metrics.Gauge(one.name, one.meaning, one.labels)
        self._made = made

    def record(self, instrument: Instrument, value: float, labels: Mapping[str, str]) -> None:
        made, tags = self._made[instrument.name], dict(labels)
        match instrument.kind:
            case Kind.COUNTER:
                # Ray's counters take nothing that is not above zero.
                if value > 0:
                    made.inc(value, tags)
            case Kind.HISTOGRAM:
                # Nor its histograms.
                made.observe(max(value, 1e-9), tags)
            case Kind.GAUGE:
                made.set(value, tags)


class Metrics:
    """What the service counts. `evaluated`: None where there is no drift to tell."""

    def __init__(
        self, also: Sequence[Instruments] = (), evaluated: Evaluated | None = None
    ) -> None:
        self._own = PrometheusInstruments()
        self._all: tuple[Instruments, ...] = (self._own, *also)
        self._drift = Drift(evaluated)
        self._drift_told = False

    def text(self) -> bytes:
        """This process's figures in Prometheus' text format."""
        return self._own.text()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self._record(REQUESTS, 1, route=route, method=method, status=str(status))
        self._record(REQUEST_SECONDS, seconds, route=route)

    def refused(self, code: str) -> None:
        self._record(REFUSED, 1, code=code)

    def stages(self, timings_s: Mapping[str, float]) -> None:
        for stage, seconds in timings_s.items():
            self._record(STAGE_SECONDS, seconds, stage=stage)

    def audio(self, kind: str, seconds: float) -> None:
        """`kind`: clip, call or live."""
        self._record(AUDIO_SECONDS, seconds, kind=kind)

    def live_calls(self, count: int) -> None:
        self._record(LIVE_CALLS, count)

    def rollout(self, event: str) -> None:
        """`event`: a field of the rollout's `Counts`, or rolled_back."""
        self._record(ROLLOUT, 1, event=event)

    def screened(self, outcome: str, decided_s: float | None) -> None:
        """A screened call has ended; `decided_s` None: nothing was decided."""
        self._record(SCREENED, 1, outcome=outcome)
        if decided_s is not None:
            self._record(DECISION_SECONDS, decided_s)

    def pushes(self, state: str, count: int = 1) -> None:
        """Of assistance; `state`: sent, seen, late or failed."""
        self._record(ASSIST_PUSHES, count, state=state)

    def feedback(self, action: str) -> None:
        """Of an agent, that was new."""
        self._record(ASSIST_FEEDBACK, 1, action=action)

    def answers(self, results: Iterable[Recognition | NothingUsable], model: ServedModel) -> None:
        """Results of single sentences: evaluation measured their confidence, too."""
        for result in results:
            if isinstance(result, NothingUsable):
                self._record(COLOURS, 1, colour="none")
                continue
            confidence = result.probabilities[result.primary]
            self._record(COLOURS, 1, colour=result.primary)
            self._record(CONFIDENCE, confidence)
            self._drift.see(confidence, model.digest)
        index = self._drift.index
        # Once told it becomes NaN where another model took over: the last one would stand for ever.
        if self._drift_told or not math.isnan(index):
            self._drift_told = True
            self._record(DRIFT, index, against="evaluation")

    def _record(self, instrument: Instrument, value: float, **labels: str) -> None:
        for instruments in self._all:
            instruments.record(instrument, value, labels)
