"""What happened in a training run, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from persona_ray.errors import TrainingError
from persona_ray.files import write_whole
from persona_ray.training.finetune.metrics import Scores
from persona_ray.training.records import record_of


class Phase(StrEnum):
    """What an epoch trains."""

    FROZEN = "frozen"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch: `loss` is the mean loss of a training clip in nats, dropout on (cross entropy,
    unless class weights or a focal loss are configured).

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

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> EpochResult:
        """Raises ValueError."""
        return record_of(cls, row)


class Ended(StrEnum):
    """Why training ended."""

    LOSS = "loss"
    PATIENCE = "patience"
    EPOCHS = "epochs"

    @property
    def reason(self) -> str:
        """For people."""
        return {
            Ended.LOSS: "the loss fell below training.stop_loss",
            Ended.PATIENCE: "the loss of the dev split fell no more (training.patience)",
            Ended.EPOCHS: "the epochs were out",
        }[self]


@dataclass(frozen=True, slots=True)
class History:
    """The epochs in order; `ended` is None while there are more to come."""

    epochs: tuple[EpochResult, ...]
    ended: Ended | None = None

    @property
    def last(self) -> EpochResult:
        return self.epochs[-1]

    @property
    def best(self) -> EpochResult | None:
        """The first epoch with the smallest loss of the dev split; None without one."""
        judged = [epoch for epoch in self.epochs if epoch.dev is not None]
        return min(judged, key=_dev_loss) if judged else None

    def as_json(self) -> dict[str, Any]:
        return {"ended": self.ended, "epochs": [asdict(epoch) for epoch in self.epochs]}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> History:
        """Raises ValueError."""
        return record_of(cls, tree)

    def write(self, path: Path) -> None:
        write_whole(path, json.dumps(self.as_json(), indent=1))

    @classmethod
    def read(cls, path: Path) -> History:
        """Raises TrainingError for a file that is damaged."""
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{path} is damaged ({error}): run `persona-ray finetune` again"
            ) from None


def _dev_loss(epoch: EpochResult) -> float:
    assert epoch.dev is not None
    return epoch.dev.loss
