"""Sums over the updates since the last point of the curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from persona_ray.training.pretrain.curve import CurvePoint
from persona_ray.training.pretrain.throughput import Throughput
from persona_ray.training.update import Outcome


@dataclass
class Meter:
    """All sums are over all ranks. Kept in checkpoints, so that a run that goes on makes the same
    points as one that was never interrupted."""

    updates: int = 0
    seconds: float = 0.0
    size: float = 0.0
    padded: float = 0.0
    norms: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    correct: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """One more update."""
        self.updates += 1
        self.size += outcome.size
        self.padded += outcome.padded
        self.norms += outcome.norm
        for kept, new in (
            (self.losses, outcome.losses),
            (self.correct, outcome.correct),
            (self.counts, outcome.counts),
        ):
            for term, value in new.items():
                kept[term] = kept.get(term, 0.0) + value

    def point(
        self,
        update: int,
        epoch: float,
        learning_rate: float,
        seconds: float,
        weights: Mapping[str, float],
        throughput: Throughput,
        world_size: int,
    ) -> CurvePoint:
        terms = {term: self.losses[term] / max(1.0, self.counts[term]) for term in weights}
        accuracy = {
            term: correct / max(1.0, self.counts[term]) for term, correct in self.correct.items()
        }
        elapsed = max(self.seconds, 1e-9)
        flops_per_s = throughput.flops(self.padded) / elapsed / world_size
        return CurvePoint(
            update=update,
            epoch=epoch,
            loss=sum(weight * terms[term] for term, weight in weights.items()),
            terms=terms,
            accuracy=accuracy,
            learning_rate=learning_rate,
            gradient_norm=self.norms / max(1, self.updates),
            size_per_s=self.size / elapsed,
            padding_share=1.0 - self.size / self.padded if self.padded else 0.0,
            flops_per_s=flops_per_s,
            utilisation=flops_per_s / throughput.peak_flops_per_s,
            seconds=seconds,
        )


def as_metrics(point: CurvePoint) -> dict[str, float]:
    """Flat, as launchers and trackers take them."""
    metrics = {
        name: float(value)
        for name, value in asdict(point).items()
        if not isinstance(value, Mapping)
    }
    metrics |= {f"loss_{term}": value for term, value in point.terms.items()}
    metrics |= {f"accuracy_{term}": value for term, value in point.accuracy.items()}
    return metrics
