"""How far fine-tuning is, as its checkpoints hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import TrainingError
from persona_ray.training.checkpoint import damaged, read_progress
from persona_ray.training.finetune.history import History, Phase
from persona_ray.training.records import record_of

# What a run that goes on may change: when to end, and how the work is cut up.
_MAY_CHANGE = (
    "epochs",
    "stop_loss",
    "patience",
    "micro_batch_s",
    "checkpoint_updates",
    "keep",
    "cache_front",
)
# What the frozen epochs do not depend on.
_LATER = ("frozen_epochs", "kept_frozen", "encoder_learning_rate", "layer_decay", "freeze_front")


@dataclass(frozen=True, slots=True)
class Progress:
    """`update` updates are done. `loss` and `clips` are sums since the last epoch ended, `seconds`
    its time so far. `phase` is that of the last update. `stopped`: a rank was asked to."""

    update: int = 0
    phase: Phase = Phase.FROZEN
    history: History = field(default_factory=lambda: History(()))
    loss: float = 0.0
    clips: float = 0.0
    seconds: float = 0.0
    stopped: bool = False

    @classmethod
    def read(cls, folder: Path, identity: Mapping[str, Any] | None) -> Progress:
        """Raises TrainingError for a damaged checkpoint, or one of another run than `identity`'s
        (None: of any run)."""
        tree = read_progress(folder, identity)
        try:
            return record_of(cls, tree)
        except ValueError as error:
            raise TrainingError(damaged(folder, str(error))) from None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"history": self.history.as_json(), "stopped": False}


def identity_of(
    config: TrainingConfig, labels: Sequence[str], data: str, frozen_alone: bool = False
) -> dict[str, Any]:
    """What a run must keep when it goes on; with `frozen_alone`, what runs have in common whose
    frozen epochs are the same. `data`: a fingerprint of the examples."""
    left_out = (*_MAY_CHANGE, *(_LATER if frozen_alone else ()))
    settings = {
        name: value
        for name, value in config.model_dump(mode="json").items()
        if name not in left_out
    }
    return {**settings, "labels": list(labels), "examples": data}
