"""What a pretraining run reports while it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from persona_ray.errors import TrainingError
from persona_ray.files import write_whole
from persona_ray.training.records import record_of


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Means over the updates since the last point.

    `loss` is the weighted sum of `terms` (nats by target), `accuracy` the share of right answers
    of the terms that classify. `size_per_s` is in the run's unit over all workers, without padding;
    `padding_share` of what was computed was padding. `flops_per_s` is the model's arithmetic
    (forward and backward, without recomputation) by worker, `utilisation` its share of the measured
    matrix-product peak. `seconds` of training so far, those before a resumption included.
    """

    update: int
    epoch: float
    loss: float
    terms: Mapping[str, float]
    accuracy: Mapping[str, float]
    learning_rate: float
    gradient_norm: float
    size_per_s: float
    padding_share: float
    flops_per_s: float
    utilisation: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one run in order. `name` as shown (`text`, `speech, iteration 1`, ...).
    `updates` are those of the whole run, also where it was stopped before."""

    name: str
    unit: Literal["tokens", "audio_s"]
    updates: int
    points: tuple[CurvePoint, ...]

    @property
    def last(self) -> CurvePoint:
        return self.points[-1]

    @property
    def complete(self) -> bool:
        """False for a run that was stopped, and goes on from its checkpoint when started again."""
        return bool(self.points) and self.last.update >= self.updates

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Curve:
        """Raises ValueError."""
        return record_of(cls, tree)


def write_curves(curves: tuple[Curve, ...], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps([curve.as_json() for curve in curves], indent=1))


def read_curves(path: Path) -> tuple[Curve, ...]:
    """Raises TrainingError for a file that is damaged."""
    try:
        trees = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Curve.from_json(tree) for tree in trees)
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(
            f"{path} is damaged ({error}): delete it, reports then lack its curves"
        ) from None
