"""How much arithmetic a run does, and how much of it the hardware could do.

Utilisation is the model's own arithmetic (forward and backward, without what activation
checkpointing repeats) over what the device reaches in one large matrix product in the same number
format, measured at the start of the run by the process itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from persona_ray.objectives.base import PretrainingTask
from persona_ray.training.feed import to_device

# Sides of the matrices: large enough for the peak, small enough for a fraction of a second.
_SIDE = {"cuda": 8192, "cpu": 1024}
_BUDGET_S = 0.2


@dataclass(frozen=True, slots=True)
class Throughput:
    """`flops_per_size`: by padded token or second of audio."""

    flops_per_size: float
    peak_flops_per_s: float

    def flops(self, padded: float) -> float:
        return padded * self.flops_per_size


def measure(
    task: PretrainingTask, module: nn.Module, device: torch.device, computes_in: torch.dtype
) -> Throughput:
    """`module` is on `device` and is left as it was, without gradients."""
    return Throughput(
        count_flops(task, module, device, computes_in) / _typical(task)[1],
        matrix_product_peak(device, computes_in),
    )


def count_flops(
    task: PretrainingTask, module: nn.Module, device: torch.device, computes_in: torch.dtype
) -> float:
    """Of forward and backward on one item of middle size (attention grows with the square of the
    length, so longer items cost a little more than this says, and shorter ones less)."""
    position, _ = _typical(task)
    inputs = to_device(task.batch((position,), 0), device)
    was_training = module.training
    # Without dropout, and without running blocks again for activation checkpointing.
    module.eval()
    counter = FlopCounterMode(display=False)
    try:
        # Plain attention is counted on every device; fused kernels are not.
        with (
            counter,
            sdpa_kernel(SDPBackend.MATH),
            torch.autocast(device.type, torch.bfloat16, enabled=computes_in == torch.bfloat16),
        ):
            outputs = module(inputs)
            losses = [outputs[f"{term}.loss"] for term in task.weights]
            torch.autograd.backward(torch.stack(losses).sum())
    finally:
        module.zero_grad(set_to_none=True)
        module.train(was_training)
    return float(counter.get_total_flops())


def matrix_product_peak(device: torch.device, computes_in: torch.dtype) -> float:
    """Multiplications and additions per second, the best of what a moment allows."""
    side = _SIDE.get(device.type, _SIDE["cpu"])
    left = torch.randn(side, side, device=device).to(computes_in)
    right = torch.randn(side, side, device=device).to(computes_in)
    best_s = float("inf")
    started = time.perf_counter()
    _synchronize(device)
    for attempt in range(50):
        before = time.perf_counter()
        torch.mm(left, right)
        _synchronize(device)
        now = time.perf_counter()
        if attempt:  # the first one loads the kernel
            best_s = min(best_s, now - before)
        if attempt > 2 and now - started > _BUDGET_S:
            break
    return 2.0 * side**3 / best_s


def _typical(task: PretrainingTask) -> tuple[int, float]:
    """An item of middle size: (position, size)."""
    sizes = np.asarray(task.sizes(), dtype=np.float64)
    position = int(np.argsort(sizes, kind="stable")[len(sizes) // 2])
    return position, float(sizes[position])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
