"""One process, or one replica on each of several (DistributedDataParallel)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from persona_ray.config.engine import EngineConfig
from persona_ray.training.context import Worker
from persona_ray.training.engine.adam import (
    adamw,
    moments_of,
    parameters_of,
    put_moments,
    set_rates,
    steps_of,
)
from persona_ray.training.engine.base import (
    Group,
    Moments,
    Outputs,
    Snapshot,
    computes_in,
    on_cpu,
    persistent_buffers,
)


class TorchEngine:
    """Weights and Adam in float32; matrix products in bf16 by autocast where configured."""

    def __init__(
        self,
        module: nn.Module,
        groups: Sequence[Group],
        max_gradient_norm: float,
        config: EngineConfig,
        worker: Worker,
    ) -> None:
        self._module = module
        self._groups = groups
        self._worker = worker
        self._max_norm = max_gradient_norm
        self._format = computes_in(config, worker.device)
        self._parameters = parameters_of(groups)
        self._adam = adamw(groups, worker.device)
        self._parallel: nn.parallel.DistributedDataParallel | None = None
        if worker.world_size > 1:
            self._parallel = nn.parallel.DistributedDataParallel(
                module, gradient_as_bucket_view=True, broadcast_buffers=False
            )

    def accumulate(
        self, inputs: dict[str, Tensor], loss: Callable[[Outputs], Tensor], last: bool
    ) -> Outputs:
        network = self._module if self._parallel is None else self._parallel
        waits = self._parallel is not None and not last
        with self._parallel.no_sync() if waits and self._parallel else nullcontext():
            with self._autocast():
                outputs: Outputs = network(inputs)
            # DDP averages over the ranks; gradients are to be summed.
            torch.autograd.backward(loss(outputs) * self._worker.world_size)
        return outputs

    def step(self, rates: Mapping[str, float]) -> float:
        norm = nn.utils.clip_grad_norm_(self._parameters.values(), self._max_norm)
        set_rates(self._adam, self._groups, rates)
        self._adam.step()
        self._adam.zero_grad()
        return float(norm.item())

    def answer(self, inputs: dict[str, Tensor]) -> Outputs:
        self._module.eval()
        try:
            with torch.inference_mode(), self._autocast():
                outputs: Outputs = self._module(inputs)
        finally:
            self._module.train()
        return outputs

    def snapshot(self) -> Snapshot | None:
        if self._worker.rank != 0:
            return None
        weights = {**self._parameters, **persistent_buffers(self._module)}
        held = [list(group.parameters.values()) for group in self._groups]
        names = [group.name for group in self._groups]
        return Snapshot(
            {name: on_cpu(value) for name, value in weights.items()},
            moments_of(self._adam, self._groups),
            dict(zip(names, steps_of(self._adam, held), strict=True)),
        )

    def restore(self, moments: Moments, steps: Mapping[str, int]) -> None:
        put_moments(self._adam, self._groups, moments, steps)

    def close(self) -> None:
        self._parallel = None

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._worker.device.type, torch.bfloat16, enabled=self._format == torch.bfloat16
        )
