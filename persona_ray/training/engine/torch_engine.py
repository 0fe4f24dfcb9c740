"""One process, or one replica on each of several (DistributedDataParallel)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from persona_ray.config.pretraining import EngineConfig
from persona_ray.training.engine.base import (
    Moments,
    Outputs,
    Snapshot,
    adamw,
    computes_in,
    moments_of,
    on_cpu,
    persistent_buffers,
    put_moments,
    steps_of,
    trained,
)
from persona_ray.training.pretrain.context import PretrainContext
from persona_ray.training.pretrain.settings import PretrainSettings


class TorchEngine:
    """Weights and Adam in float32; matrix products in bf16 by autocast where configured."""

    def __init__(
        self,
        module: nn.Module,
        settings: PretrainSettings,
        config: EngineConfig,
        context: PretrainContext,
    ) -> None:
        self._module = module
        self._device = context.device
        self._rank = context.rank
        self._world_size = context.world_size
        self._max_norm = settings.max_gradient_norm
        self._format = computes_in(config, context.device)
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._adam = adamw(module, settings, context.device)
        self._parallel: nn.parallel.DistributedDataParallel | None = None
        if context.world_size > 1:
            self._parallel = nn.parallel.DistributedDataParallel(
                module, gradient_as_bucket_view=True, broadcast_buffers=False
            )

    def accumulate(
        self, inputs: dict[str, Tensor], loss: Callable[[Outputs], Tensor], last: bool
    ) -> Outputs:
        network = self._module if self._parallel is None else self._parallel
        waits = self._parallel is not None and not last
        with self._parallel.no_sync() if waits and self._parallel else nullcontext():
            with torch.autocast(
                self._device.type, torch.bfloat16, enabled=self._format == torch.bfloat16
            ):
                outputs: Outputs = network(inputs)
            # DDP averages over the ranks; gradients are to be summed.
            torch.autograd.backward(loss(outputs) * self._world_size)
        return outputs

    def step(self, learning_rate: float) -> float:
        norm = nn.utils.clip_grad_norm_(self._parameters, self._max_norm)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self._adam.zero_grad()
        return float(norm.item())

    def snapshot(self) -> Snapshot | None:
        if self._rank != 0:
            return None
        parameters = trained(self._module)
        weights = {**parameters, **persistent_buffers(self._module)}
        return Snapshot(
            {name: on_cpu(value) for name, value in weights.items()},
            moments_of(self._adam, parameters),
            steps_of(self._adam),
        )

    def restore(self, moments: Moments, steps: int) -> None:
        put_moments(self._adam, trained(self._module), moments, steps)

    def close(self) -> None:
        self._parallel = None
