"""Frozen epochs that runs have in common, run once: they differ in the threshold, and in what comes
after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from persona_ray.config.learning import TrainingConfig
from persona_ray.training.finetune.loop import ended
from persona_ray.training.finetune.run import Start


def prefix_of(configs: Sequence[TrainingConfig]) -> TrainingConfig:
    """The run whose frozen epochs are those of all `configs` (alike as `identity_of` says of
    `frozen_alone`): as long as the longest, and ended by nothing else, for what ends one of them
    may not end another."""
    longest = max(configs, key=lambda config: config.frozen_epochs)
    return longest.model_copy(
        update={"epochs": longest.frozen_epochs, "stop_loss": 0.0, "patience": None}
    )


def start_for(starts: Mapping[int, Start], config: TrainingConfig) -> Start | None:
    """Where a run of `config` goes on, given what `fit` gave to `on_frozen`, by epoch: after its
    last frozen epoch, or after the one with which it ends. None: it has no frozen epoch."""
    for epoch in range(1, config.frozen_epochs + 1):
        start = starts[epoch]
        why = ended(replace(start.progress.history, ended=None), config)
        if why is not None or epoch == config.frozen_epochs:
            return start
    return None
