"""What carries out an update: gradients over micro-batches and workers, then Adam."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from persona_ray.config.pretraining import EngineConfig
from persona_ray.errors import TrainingError
from persona_ray.training.pretrain.context import PretrainContext
from persona_ray.training.pretrain.settings import PretrainSettings

Outputs = Mapping[str, Tensor]
Moments = dict[str, Tensor]
# What a parameter has in Adam, by torch's names.
MOMENTS = ("exp_avg", "exp_avg_sq")
BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run's tensors on the CPU, independent of engine, stage and world size.

    `weights`: trained parameters in float32 and persistent buffers, by name. `moments`:
    `parameter name:moment` for each of `MOMENTS`. `steps`: updates that Adam has made.
    """

    weights: dict[str, Tensor]
    moments: Moments
    steps: int


class Engine(Protocol):
    """All methods are called by every rank alike."""

    def accumulate(
        self, inputs: dict[str, Tensor], loss: Callable[[Outputs], Tensor], last: bool
    ) -> Outputs:
        """Run one micro-batch and add the gradient of `loss` of its outputs. The gradients of all
        ranks and micro-batches are summed; `last` marks the rank's last micro-batch of the update.
        """
        ...

    def step(self, learning_rate: float) -> float:
        """Clip, update the weights, clear the gradients: the gradients' norm before clipping."""
        ...

    def snapshot(self) -> Snapshot | None:
        """Copied out at once; None on the other ranks than 0."""
        ...

    def restore(self, moments: Moments, steps: int) -> None:
        """Before the first update. Every rank brings the whole moments of a snapshot; the weights
        were in the module when the engine was built."""
        ...

    def close(self) -> None:
        """The engine and the module in it are of no further use."""
        ...


def build_engine(
    module: nn.Module, settings: PretrainSettings, config: EngineConfig, context: PretrainContext
) -> Engine:
    """Put `module` on the context's device behind the configured engine."""
    if config.activation_checkpointing:
        enable_activation_checkpointing(module)
    module.to(context.device).train()
    if config.kind == "deepspeed":
        from persona_ray.training.engine.deepspeed_engine import DeepSpeedEngine

        return DeepSpeedEngine(module, settings, config, context)
    from persona_ray.training.engine.torch_engine import TorchEngine

    return TorchEngine(module, settings, config, context)


def computes_in(config: EngineConfig, device: torch.device) -> torch.dtype:
    """The format of matrix products."""
    choice: Literal["auto", "fp32", "bf16"] = config.precision
    if choice == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if able else torch.float32
    return torch.bfloat16 if choice == "bf16" else torch.float32


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Trained parameters for Adam: those that decay, and biases and norms, which do not."""
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            vector = sum(size > 1 for size in parameter.shape) < 2
            (others if vector else decaying).append(parameter)
    groups = [(decaying, weight_decay), (others, 0.0)]
    return [{"params": group, "weight_decay": decay} for group, decay in groups if group]


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """By name; a tied parameter once, under its first name."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def persistent_buffers(module: nn.Module) -> dict[str, Tensor]:
    buffers = dict(module.named_buffers())
    kept = module.state_dict(keep_vars=True).keys()
    return {name: buffer for name, buffer in buffers.items() if name in kept}


def adamw(module: nn.Module, settings: PretrainSettings, device: torch.device) -> torch.optim.AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(
        parameter_groups(module, settings.weight_decay),
        lr=settings.learning_rate,
        betas=BETAS,
        eps=EPSILON,
        fused=True if device.type == "cuda" else None,
    )


def moments_of(adam: torch.optim.AdamW, parameters: Mapping[str, nn.Parameter]) -> Moments:
    """Where Adam has the parameters as they are. One that never had a gradient has no moments:
    zeros, as Adam would begin with."""
    return {
        f"{name}:{moment}": on_cpu(adam.state[parameter].get(moment, torch.zeros_like(parameter)))
        for name, parameter in parameters.items()
        for moment in MOMENTS
    }


def put_moments(
    adam: torch.optim.AdamW,
    parameters: Mapping[str, nn.Parameter],
    moments: Mapping[str, Tensor],
    steps: int,
) -> None:
    for name, parameter in parameters.items():
        state = adam.state[parameter]
        state["step"] = step_counter(adam, steps, parameter.device)
        for moment in MOMENTS:
            state[moment] = moments[f"{name}:{moment}"].to(parameter.device, copy=True)


def step_counter(adam: torch.optim.AdamW, steps: int, device: torch.device) -> Tensor:
    """Adam counts on the CPU unless it is fused."""
    return torch.tensor(float(steps), device=device if adam.defaults["fused"] else None)


def steps_of(adam: torch.optim.AdamW) -> int:
    return max((int(state["step"]) for state in adam.state.values() if state), default=0)


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
