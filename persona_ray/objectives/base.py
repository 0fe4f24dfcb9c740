"""What the pretraining loop asks of an objective: terms, micro-batches, tasks.

A loss is made of terms (masked words, next sentences; masked units, feature penalty). The model
returns each term summed over its targets, and a batch knows how many targets it has before the
model runs. An update over several micro-batches and workers then is

    loss = sum over terms of weight * (sum over micro-batches of the term) / (sum of its counts)

whatever way its items are dealt to workers and micro-batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one worker passes through the model at a time, on the CPU.

    `inputs` go to the model as they are. `counts`: targets of each term. `size` is what the items
    have in the task's unit (tokens or audio seconds), `padded` what they take with padding.
    """

    inputs: dict[str, Tensor]
    counts: Mapping[str, int]
    size: float
    padded: float


class PretrainingTask(Protocol):
    """What is trained on what. Picklable: workers build and read on their own.

    The model that `build` returns is an `nn.Module` whose `forward(inputs: dict[str, Tensor])`
    returns `dict[str, Tensor]`: for each term `<term>.loss`, summed over its targets (0-d, float32,
    natural logarithms), and for classifications `<term>.correct`, how many were right (0-d). Every
    trained parameter takes part in every forward pass, also where a batch has no target.
    """

    @property
    def unit(self) -> Literal["tokens", "audio_s"]: ...

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of each term; the first is the one whose loss and accuracy are shown."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes with data, starting weights and settings: a killed run of the same goes on."""
        ...

    def sizes(self) -> Sequence[float]:
        """Of every item, in the task's unit: what batches are bounded by."""
        ...

    def build(self) -> nn.Module:
        """The same weights at every call, on every worker; `requires_grad` says what is trained."""
        ...

    def batch(self, positions: Sequence[int], epoch: int) -> MicroBatch:
        """Items masked by (seed, epoch, item): the same whatever batch an item stands in."""
        ...

    def save(self, module: nn.Module, folder: Path) -> None:
        """Write what was trained as a plain Hugging Face folder."""
        ...
