"""DeepSpeed: ZeRO shares out optimizer state, gradients and weights over the workers.

Weights and Adam stay in float32 at every stage, and matrix products run in bf16 by autocast inside
DeepSpeed's forward: the same arithmetic as the torch engine, so that checkpoints pass from one to
the other without a change. With ZeRO-3 whole weights exist only inside the engine's forward and
backward: the task's module is called through the engine, never a part of it directly.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from persona_ray.config.engine import EngineConfig
from persona_ray.training.context import Worker
from persona_ray.training.engine.adam import (
    MOMENTS,
    adamw,
    moments_of,
    parameters_of,
    put_moments,
    set_rates,
    step_counter,
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


class DeepSpeedEngine:
    """Works on GPUs over NCCL, and on processors over gloo."""

    def __init__(
        self,
        module: nn.Module,
        groups: Sequence[Group],
        max_gradient_norm: float,
        config: EngineConfig,
        worker: Worker,
    ) -> None:
        deepspeed = _prepared(worker)
        self._module = module
        self._groups = groups
        self._rank, self._world_size = worker.rank, worker.world_size
        self._stage = config.zero_stage
        self._max_norm = max_gradient_norm
        self._parameters = parameters_of(groups)
        self._adam = adamw(groups, worker.device)
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=module,
            optimizer=self._adam,
            config=_ds_config(max_gradient_norm, config, computes_in(config, worker.device)),
            dist_init_required=False,
        )
        if self._stage:
            self._begin_adam()

    def accumulate(
        self, inputs: dict[str, Tensor], loss: Callable[[Outputs], Tensor], last: bool
    ) -> Outputs:
        # An update has as many micro-batches as its items need: the count is ours, not DeepSpeed's.
        self._engine.set_gradient_accumulation_boundary(last)
        outputs: Outputs = self._engine(inputs)
        # DeepSpeed averages over the ranks; gradients are to be summed.
        self._engine.backward(loss(outputs) * self._world_size, scale_wrt_gas=False)
        return outputs

    def step(self, rates: Mapping[str, float]) -> float:
        set_rates(self._optimizer, self._groups, rates)
        if self._stage:
            self._engine.step()
            return float(self._engine.get_global_grad_norm())
        # Without ZeRO the gradients lie whole on every rank, and DeepSpeed tells no norm.
        norm = nn.utils.clip_grad_norm_(self._parameters.values(), self._max_norm)
        self._engine.step()
        return float(norm.item())

    def answer(self, inputs: dict[str, Tensor]) -> Outputs:
        self._engine.eval()
        try:
            # Not in inference mode: weights that ZeRO-3 gathers in it could not be trained.
            with torch.no_grad():
                outputs: Outputs = self._engine(inputs)
        finally:
            self._engine.train()
        return outputs

    def snapshot(self) -> Snapshot | None:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        weights: dict[str, Tensor] = {}
        moments: Moments = {}
        # Every rank takes part in gathering; rank 0 keeps what is gathered, one tensor at a time.
        for name, parameter in self._parameters.items():
            whole = safe_get_full_fp32_param(parameter) if self._stage == 3 else parameter
            if self._rank == 0:
                weights[name] = on_cpu(whole)
            if self._stage:
                for moment in MOMENTS:
                    gathered = safe_get_full_optimizer_state(parameter, moment)
                    if self._rank == 0:
                        moments[f"{name}:{moment}"] = on_cpu(gathered)
        if self._rank != 0:
            return None
        for name, buffer in persistent_buffers(self._module).items():
            weights[name] = on_cpu(buffer)
        if not self._stage:
            moments = moments_of(self._adam, self._groups)
            held: list[list[Tensor]] = [list(g.parameters.values()) for g in self._groups]
        else:
            held = self._partitions()
        names = [group.name for group in self._groups]
        return Snapshot(weights, moments, dict(zip(names, steps_of(self._adam, held), strict=True)))

    def restore(self, moments: Moments, steps: Mapping[str, int]) -> None:
        if not self._stage:
            put_moments(self._adam, self._groups, moments, steps)
            return
        from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

        for group, partitions in zip(self._groups, self._partitions(), strict=True):
            for partition in partitions:
                self._adam.state[partition]["step"].fill_(float(steps.get(group.name, 0)))
        for name, parameter in self._parameters.items():
            for moment in MOMENTS:
                whole = moments.get(f"{name}:{moment}")
                if whole is None:
                    continue  # zeros from the start
                whole = whole.to(self._engine.device)
                if self._stage < 3:
                    safe_set_full_optimizer_state(parameter, whole, moment)
                    continue
                # `safe_set_full_...` fails where the ranks' shares are padded.
                share: int = parameter.ds_tensor.numel()  # type: ignore[attr-defined]
                padded = F.pad(whole.flatten(), (0, share * self._world_size - whole.numel()))
                mine = padded.narrow(0, share * self._rank, share)
                safe_set_local_optimizer_state(parameter, mine, moment)

    def _partitions(self) -> list[list[Tensor]]:
        """Of each group this rank's share of the weights in float32, as Adam has it."""
        if self._stage < 3:
            return [[flat] for flat in self._optimizer.single_partition_of_fp32_groups]
        shares: list[list[Tensor]] = [[] for _ in self._groups]
        for at, flat in enumerate(self._optimizer.fp32_partitioned_groups_flat):
            shares[self._optimizer.sub_group_to_group_id[at]].append(flat)
        return shares

    def _begin_adam(self) -> None:
        """Adam makes its state at its first step; a checkpoint needs it before. Besides, ZeRO 1
        and 2 (0.19.8) take note of the state of the first group alone if Adam makes it."""
        for partition in (one for group in self._partitions() for one in group):
            self._adam.state[partition] = {
                "step": step_counter(self._adam, 0, partition.device),
                **{moment: torch.zeros_like(partition) for moment in MOMENTS},
            }
        if self._stage < 3:
            self._optimizer._lazy_init_hp_params_optimizer_state()

    def close(self) -> None:
        self._engine.destroy()


def _ds_config(
    max_gradient_norm: float, config: EngineConfig, products_in: torch.dtype
) -> dict[str, Any]:
    tree: dict[str, Any] = {
        # Asked for, but without effect: batches and their accumulation are the loop's.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "steps_per_print": None,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": config.zero_stage},
        "torch_autocast": {"enabled": products_in == torch.bfloat16, "dtype": "bfloat16"},
    }
    if config.zero_stage:
        tree["gradient_clipping"] = max_gradient_norm
    return tree


def _prepared(worker: Worker) -> Any:
    """The module `deepspeed`, ready for this process and device."""
    kind = worker.device.type
    # DeepSpeed looks for a GPU by itself when it is imported, and insists on LOCAL_RANK.
    os.environ.setdefault("DS_ACCELERATOR", kind)
    if worker.device.index is not None:
        # Launchers number GPUs in their own ways; the module must stay where the loop's inputs go.
        os.environ["LOCAL_RANK"] = str(worker.device.index)
    os.environ.setdefault("LOCAL_RANK", "0")
    if not dist.is_initialized():
        from torch._C._distributed_c10d import HashStore

        # One process: DeepSpeed's groups cannot be made anew, so this one is left open.
        dist.init_process_group(
            "nccl" if kind == "cuda" else "gloo", store=HashStore(), rank=0, world_size=1
        )
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # DeepSpeed 0.19.8 calls collectives by names that torch 2.13 is about to drop.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
    import deepspeed
    import deepspeed.ops

    if kind == "cpu":
        # DeepSpeed would compile a shared-memory operation that only inference uses.
        vars(deepspeed.ops).setdefault("__compatible_ops__", {})
    deepspeed.init_distributed(dist_backend="nccl" if kind == "cuda" else "gloo")
    return deepspeed
