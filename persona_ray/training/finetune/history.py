"""What happened in a training run, epoch by epoch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from persona_ray.training.finetune.metrics import Scores


class Phase(StrEnum):
    """What an epoch trains."""

    FROZEN = "frozen"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch: `loss` is the mean cross entropy of a training clip in nats, dropout on.

    `seconds` include judging the dev split (`dev`, None where it is empty) and, in the first
    epoch, filling the caches; `audio_s_per_s` is the training audio over those seconds.
    """

    epoch: int
    phase: Phase
    loss: float
    learning_rate: float
    encoder_learning_rate: float
    dev: Scores | None
    seconds: float
    audio_s_per_s: float


@dataclass(frozen=True, slots=True)
class History:
    """The epochs in order. `stopped_early`: the loss fell below the configured value."""

    epochs: tuple[EpochResult, ...]
    stopped_early: bool = False

    @property
    def last(self) -> EpochResult:
        return self.epochs[-1]

    def as_json(self) -> dict[str, Any]:
        return {
            "stopped_early": self.stopped_early,
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> History:
        epochs = [
            EpochResult(
                **{
                    **row,
                    "phase": Phase(row["phase"]),
                    "dev": None if row["dev"] is None else Scores(**row["dev"]),
                }
            )
            for row in tree["epochs"]
        ]
        return cls(tuple(epochs), tree["stopped_early"])

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.as_json(), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> History:
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
