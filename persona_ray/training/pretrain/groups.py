"""What decays and what does not."""

from __future__ import annotations

from torch import nn

from persona_ray.training.engine.base import Group, trained

DECAYING, OTHERS = "decaying", "others"


def pretraining_groups(module: nn.Module, weight_decay: float) -> list[Group]:
    """Matrices, whose weights decay, and biases and norms, whose do not."""
    decaying: dict[str, nn.Parameter] = {}
    others: dict[str, nn.Parameter] = {}
    for name, parameter in trained(module).items():
        vector = sum(size > 1 for size in parameter.shape) < 2
        (others if vector else decaying)[name] = parameter
    groups = [Group(DECAYING, decaying, weight_decay), Group(OTHERS, others)]
    return [group for group in groups if group.parameters]
