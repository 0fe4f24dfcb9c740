"""The model beside the real service: `python -m benchmarks.capacity validate`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.capacity.engine import Scale
from benchmarks.capacity.measure import Measured, Service
from benchmarks.capacity.system import Outcome, poisson, replay
from benchmarks.shared import markdown
from persona_ray.config import load_config
from persona_ray.serving.deploy.graph import ongoing

WITHIN = 0.15
FIGURES = ("throughput /s", "p50 s", "p95 s")


@dataclass(frozen=True)
class Row:
    """Of one load: figures of `FIGURES`, as they were and as they were said to be."""

    kind: str
    replicas: int
    rate_per_s: float
    requests: int
    measured: tuple[float, ...]
    predicted: tuple[float, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        return tuple(p / m - 1 for p, m in zip(self.predicted, self.measured, strict=True))

    @property
    def good(self) -> bool:
        return all(abs(error) <= WITHIN for error in self.errors)


def validate(
    config: Path,
    overrides: Sequence[str],
    kinds: Sequence[str],
    replicas: Sequence[int],
    shares: Sequence[float],
    seconds: float,
) -> list[Row]:
    """`shares`: loads, as shares of what the machine can do at most by the costs measured."""
    rows = []
    for count in replicas:
        with tempfile.TemporaryDirectory() as folder:
            service = Service(config, overrides, Path(folder), count)
            try:
                for kind in kinds:
                    rows += _rows(service, config, overrides, kind, count, shares, seconds)
            finally:
                service.end()
    return rows


def _rows(
    service: Service,
    config: Path,
    overrides: Sequence[str],
    kind: str,
    count: int,
    shares: Sequence[float],
    seconds: float,
) -> list[Row]:
    measured = service.measure(kind)
    print(f"# {kind}, {count} replicas: {_said(measured)}", flush=True)
    print(json.dumps(asdict(measured)), flush=True)
    rows = []
    for number, share in enumerate(shares):
        rate = share * _most(measured, count)
        arrivals = poisson(rate, seconds, seed=number)
        real = service.load(kind, arrivals)
        model = predict(measured, arrivals, count, config, overrides)
        row = Row(kind, count, rate, len(arrivals), _figures(real), _figures(model))
        print(json.dumps(asdict(row)), flush=True)
        rows.append(row)
    return rows


def predict(
    measured: Measured,
    arrivals_s: Sequence[float],
    replicas: int,
    config: Path,
    overrides: Sequence[str],
) -> Outcome:
    serving = load_config(config, overrides).serving
    return replay(
        arrivals_s,
        measured.costs,
        measured.machine,
        Scale(least=replicas, most=replicas),
        ongoing(serving.speech),
        serving.limits.max_queued,
    )


def _most(measured: Measured, replicas: int) -> float:
    """Requests a second that use all of the replicas, or of the machine."""
    costs = measured.costs
    inside = sum(costs.replica_s) / len(costs.replica_s)
    return min(replicas / inside, measured.machine.left / (inside + costs.around_s))


def _figures(outcome: Outcome) -> tuple[float, ...]:
    return outcome.throughput, outcome.quantile(0.5), outcome.quantile(0.95)


def _said(measured: Measured) -> str:
    costs, machine = measured.costs, measured.machine
    inside = sum(costs.replica_s) / len(costs.replica_s)
    return (
        f"replica {1e3 * inside:.0f} ms, around it {1e3 * costs.around_s:.0f} ms of processor and "
        f"{1e3 * costs.way_s:.0f} ms without; idle {100 * machine.idle_share:.0f} % of a core"
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    heads = ["requests", "replicas", "/s", *(f"{name}: measured, model" for name in FIGURES)]
    cells = []
    for row in rows:
        pairs = [
            f"{was:.2f}, {said:.2f} ({100 * error:+.0f} %)"
            for was, said, error in zip(row.measured, row.predicted, row.errors, strict=True)
        ]
        good = "yes" if row.good else "**no**"
        requests = f"{row.requests} {row.kind}"
        cells.append([requests, f"{row.replicas}", f"{row.rate_per_s:.1f}", *pairs, good])
    return markdown([*heads, f"within {100 * WITHIN:.0f} %"], cells)
