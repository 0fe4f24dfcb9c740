"""How far a pretraining run is, as its checkpoints hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from persona_ray.errors import TrainingError
from persona_ray.training.checkpoint import damaged, read_progress
from persona_ray.training.pretrain.curve import CurvePoint
from persona_ray.training.pretrain.meter import Meter


@dataclass(frozen=True, slots=True)
class Progress:
    """`update` updates are done. `meter` holds the sums since the last point of the curve."""

    update: int
    seconds: float
    points: tuple[CurvePoint, ...]
    meter: Mapping[str, Any]

    @classmethod
    def start(cls) -> Progress:
        return cls(0, 0.0, (), Meter().as_json())

    @classmethod
    def read(cls, folder: Path, identity: Mapping[str, Any]) -> Progress:
        """Raises TrainingError for a damaged checkpoint, or one of another run."""
        tree = read_progress(folder, identity)
        try:
            points = tuple(CurvePoint(**point) for point in tree.pop("points"))
            return cls(points=points, **tree)
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(damaged(folder, repr(error))) from None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
