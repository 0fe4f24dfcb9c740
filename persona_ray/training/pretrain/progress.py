"""How far a pretraining run is, as its checkpoints hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from persona_ray.errors import TrainingError
from persona_ray.training.checkpoint import damaged, read_progress
from persona_ray.training.pretrain.curve import CurvePoint
from persona_ray.training.pretrain.meter import Meter
from persona_ray.training.records import record_of


@dataclass(frozen=True, slots=True)
class Progress:
    """`update` updates are done. `meter` holds the sums since the last point of the curve."""

    update: int = 0
    seconds: float = 0.0
    points: tuple[CurvePoint, ...] = ()
    meter: Meter = field(default_factory=Meter)

    @classmethod
    def read(cls, folder: Path, identity: Mapping[str, Any]) -> Progress:
        """Raises TrainingError for a damaged checkpoint, or one of another run."""
        tree = read_progress(folder, identity)
        try:
            return record_of(cls, tree)
        except ValueError as error:
            raise TrainingError(damaged(folder, str(error))) from None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
