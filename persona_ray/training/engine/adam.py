"""Adam with decoupled weight decay (Loshchilov and Hutter 2019), and its state by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from persona_ray.training.engine.base import Group, Moments, on_cpu

# What a parameter has in Adam, by torch's names.
MOMENTS = ("exp_avg", "exp_avg_sq")
BETAS = (0.9, 0.999)
EPSILON = 1e-8


def adamw(groups: Sequence[Group], device: torch.device) -> torch.optim.AdamW:
    """One parameter group each, in order; learning rates are given at every step."""
    return torch.optim.AdamW(
        [
            {"params": list(group.parameters.values()), "weight_decay": group.weight_decay}
            for group in groups
        ],
        betas=BETAS,
        eps=EPSILON,
        fused=True if device.type == "cuda" else None,
    )


def set_rates(
    optimizer: torch.optim.Optimizer, groups: Sequence[Group], rates: Mapping[str, float]
) -> None:
    for theirs, ours in zip(optimizer.param_groups, groups, strict=True):
        theirs["lr"] = rates[ours.name]


def parameters_of(groups: Sequence[Group]) -> dict[str, nn.Parameter]:
    return {name: value for group in groups for name, value in group.parameters.items()}


def moments_of(adam: torch.optim.AdamW, groups: Sequence[Group]) -> Moments:
    """Where Adam has the parameters as they are. One that never had a gradient has no moments:
    zeros, as Adam would begin with."""
    return {
        f"{name}:{moment}": on_cpu(adam.state[parameter].get(moment, torch.zeros_like(parameter)))
        for name, parameter in parameters_of(groups).items()
        for moment in MOMENTS
    }


def put_moments(
    adam: torch.optim.AdamW,
    groups: Sequence[Group],
    moments: Mapping[str, Tensor],
    steps: Mapping[str, int],
) -> None:
    for group in groups:
        for name, parameter in group.parameters.items():
            state = adam.state[parameter]
            state["step"] = step_counter(adam, steps.get(group.name, 0), parameter.device)
            for moment in MOMENTS:
                state[moment] = known_or_zeros(moments, f"{name}:{moment}", parameter)


def known_or_zeros(moments: Mapping[str, Tensor], name: str, parameter: Tensor) -> Tensor:
    """A copy on the parameter's device."""
    if name in moments:
        return moments[name].to(parameter.device, copy=True)
    return torch.zeros_like(parameter, memory_format=torch.contiguous_format)


def step_counter(adam: torch.optim.AdamW, steps: int, device: torch.device) -> Tensor:
    """Adam counts on the CPU unless it is fused."""
    return torch.tensor(float(steps), device=device if adam.defaults["fused"] else None)


def steps_of(adam: torch.optim.AdamW, held: Sequence[Sequence[Tensor]]) -> list[int]:
    """Of each list of tensors that Adam has."""
    return [
        max((int(adam.state[tensor]["step"]) for tensor in tensors if adam.state.get(tensor)),
            default=0)
        for tensors in held
    ]  # fmt: skip
