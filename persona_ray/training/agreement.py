"""Small sums over the ranks, beside the engine's traffic of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import distributed as dist

T = TypeVar("T")


class Agreement:
    """A group of its own on the processors: no wait for the accelerator's queue of work."""

    def __init__(self, world_size: int) -> None:
        self._world_size = world_size
        self._group = dist.new_group(backend="gloo") if world_size > 1 else None

    def total(self, values: Sequence[float]) -> np.ndarray:
        """Sums over the ranks, the same on each."""
        tensor = torch.tensor(values, dtype=torch.float64)
        if self._group is not None:
            dist.all_reduce(tensor, group=self._group)
        return tensor.numpy()

    def gathered(self, value: T) -> list[T]:
        """Of every rank, on every rank."""
        if self._group is None:
            return [value]
        values: list[T | None] = [None] * self._world_size
        dist.all_gather_object(values, value, group=self._group)
        return [item for item in values if item is not None]

    def close(self) -> None:
        if self._group is not None:
            dist.destroy_process_group(self._group)
            self._group = None
