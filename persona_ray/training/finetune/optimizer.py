"""Adam in two groups: the head from the start, the encoders once the threshold has passed."""

from __future__ import annotations

import torch
from torch import nn

from persona_ray.config.learning import TrainingConfig
from persona_ray.models.bimodal import BimodalModel


def head_optimizer(model: BimodalModel, config: TrainingConfig) -> torch.optim.Adam:
    """Freeze the encoders and train the layer weights and the fully connected layer alone."""
    if config.freeze_front and model.speech is not None:
        model.speech.freeze_front()
    model.set_encoders_frozen(True)
    return torch.optim.Adam(model.head_parameters(), lr=config.learning_rate)


def unfreeze(model: BimodalModel, optimizer: torch.optim.Adam, config: TrainingConfig) -> None:
    """Train the encoders too, but for those in `kept_frozen`; the head's moments stay as they
    are."""
    opened: list[nn.Parameter] = []
    for name, tower in (("speech", model.speech), ("text", model.text)):
        if tower is not None and name not in config.kept_frozen:
            tower.set_frozen(False)
            opened += tower.trainable()
    if opened:
        optimizer.add_param_group({"params": opened})


def set_learning_rates(
    optimizer: torch.optim.Adam, config: TrainingConfig, epoch: int
) -> tuple[float, float]:
    """The rates of the head and of the encoders in `epoch` (from 1): a function of the epoch
    alone, so that every worker and every resumed run has the same."""
    decay = config.decay_rate ** (epoch - 1)
    head = config.learning_rate * decay
    encoders = (config.encoder_learning_rate or config.learning_rate) * decay
    for group, rate in zip(optimizer.param_groups, (head, encoders), strict=False):
        group["lr"] = rate
    return head, encoders


def trained_parameters(optimizer: torch.optim.Adam) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
