"""What carries out an update: gradients over micro-batches and workers, then Adam."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from persona_ray.config.engine import EngineConfig
from persona_ray.errors import TrainingError
from persona_ray.training.context import Worker

Outputs = Mapping[str, Tensor]
Moments = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Group:
    """Trained parameters of a module, by their names in it, that share a learning rate and a
    decoupled weight decay."""

    name: str
    parameters: Mapping[str, nn.Parameter]
    weight_decay: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run's tensors on the CPU, independent of engine, stage and world size.

    `weights`: trained parameters in float32 and persistent buffers, by name. `moments`:
    `parameter name:moment` for each of Adam's two. `steps`: updates that Adam has made of each
    group.
    """

    weights: dict[str, Tensor]
    moments: Moments
    steps: Mapping[str, int]


class Engine(Protocol):
    """All methods are called by every rank alike."""

    def accumulate(
        self, inputs: dict[str, Tensor], loss: Callable[[Outputs], Tensor], last: bool
    ) -> Outputs:
        """Run one micro-batch and add the gradient of `loss` of its outputs. The gradients of all
        ranks and micro-batches are summed; `last` marks the rank's last micro-batch of the update.
        """
        ...

    def step(self, rates: Mapping[str, float]) -> float:
        """Clip, update the weights at the learning rate of each group, clear the gradients: the
        gradients' norm before clipping."""
        ...

    def answer(self, inputs: dict[str, Tensor]) -> Outputs:
        """Run one batch in evaluation mode, without gradients."""
        ...

    def snapshot(self) -> Snapshot | None:
        """Copied out at once; None on the other ranks than 0."""
        ...

    def restore(self, moments: Moments, steps: Mapping[str, int]) -> None:
        """Before the first update. Every rank brings whole moments; a parameter without any, and a
        group without steps, begin as Adam does. The weights were in the module when the engine was
        built."""
        ...

    def close(self) -> None:
        """The engine is of no further use. The module in it is only after DeepSpeed's."""
        ...


def build_engine(
    module: nn.Module,
    groups: Sequence[Group],
    max_gradient_norm: float,
    config: EngineConfig,
    worker: Worker,
) -> Engine:
    """Put `module` on the worker's device behind the configured engine. `groups` hold each of its
    trained parameters once."""
    if config.activation_checkpointing:
        enable_activation_checkpointing(module)
    module.to(worker.device).train()
    if config.kind == "deepspeed":
        from persona_ray.training.engine.deepspeed_engine import DeepSpeedEngine

        return DeepSpeedEngine(module, groups, max_gradient_norm, config, worker)
    from persona_ray.training.engine.torch_engine import TorchEngine

    return TorchEngine(module, groups, max_gradient_norm, config, worker)


def computes_in(config: EngineConfig, device: torch.device) -> torch.dtype:
    """The format of matrix products."""
    choice: Literal["auto", "fp32", "bf16"] = config.precision
    if choice == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if able else torch.float32
    return torch.bfloat16 if choice == "bf16" else torch.float32


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """By name; a tied parameter once, under its first name."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def persistent_buffers(module: nn.Module) -> dict[str, Tensor]:
    buffers = dict(module.named_buffers())
    kept = module.state_dict(keep_vars=True).keys()
    return {name: buffer for name, buffer in buffers.items() if name in kept}


def on_cpu(tensor: Tensor) -> Tensor:
    """A copy that later updates do not change."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype)
    return copy.copy_(tensor.detach())


def enable_activation_checkpointing(module: nn.Module) -> None:
    """In every Hugging Face model inside that can; non-reentrant, as DDP and hooks need it.

    Raises TrainingError where there is none.
    """
    from transformers import PreTrainedModel

    able = [
        part
        for part in module.modules()
        if isinstance(part, PreTrainedModel) and part.supports_gradient_checkpointing
    ]
    if not able:
        raise TrainingError(
            f"engine.activation_checkpointing: {type(module).__name__} has no blocks that can be "
            "run again: set it to false"
        )
    inner = {id(part) for outer in able for part in outer.modules() if part is not outer}
    for part in able:
        if id(part) not in inner:
            # A cache for decoding, which training never does; transformers would warn of it.
            part.config.use_cache = False
            part.activation_checkpointing_enable({"use_reentrant": False})
