"""A masked-word task that takes milliseconds: sentences whose words follow from the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona_ray.objectives.base import MicroBatch
from persona_ray.training.pretrain.curve import CurvePoint
from persona_ray.training.pretrain.settings import PretrainSettings

WORDS = 12
MASK, PAD = WORDS, WORDS + 1
WIDTH = 16

SETTINGS = PretrainSettings(
    name="toy",
    epochs=2,
    learning_rate=0.01,
    warmup_updates=2,
    final_rate_share=0.1,
    weight_decay=0.1,
    max_gradient_norm=0.5,
    update_size=60.0,
    micro_size=24.0,
    checkpoint_updates=1000,
    log_updates=1,
    seed=3,
)


class ToyModel(nn.Module):
    """Embedding, one block, norm, and a decoder tied to the embedding. Buffers: one that is kept
    (updates seen would differ by rank, so it is constant) and one that is not."""

    kept: Tensor
    passing: Tensor

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS + 2, WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.block = nn.Sequential(nn.Linear(2 * WIDTH, 24), nn.GELU(), nn.Linear(24, WIDTH))
        self.frozen = nn.Linear(WIDTH, WIDTH)
        self.frozen.requires_grad_(False)
        self.norm = nn.LayerNorm(WIDTH)
        self.decoder = nn.Linear(WIDTH, WORDS + 2)
        self.decoder.weight = self.embedding.weight
        self.register_buffer("kept", torch.arange(3))
        self.register_buffer("passing", torch.ones(2), persistent=False)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        words, targets = inputs["words"], inputs["targets"]
        vectors = self.dropout(self.embedding(words))
        before = F.pad(vectors[:, :-1], (0, 0, 1, 0))
        hidden = self.block(torch.cat([vectors, before], dim=-1))
        hidden = hidden + self.frozen(hidden)
        logits = self.decoder(self.norm(hidden)).float()
        asked = targets >= 0
        loss = F.cross_entropy(logits[asked], targets[asked], reduction="sum")
        real = words != PAD
        return {
            "words.loss": loss,
            "words.correct": (logits.argmax(-1)[asked] == targets[asked]).sum(),
            "size.loss": (hidden.float().pow(2).mean(-1) * real).sum(),
        }


@dataclass(frozen=True)
class ToyTask:
    items: int = 40
    dropout: float = 0.0
    start: int = 0

    unit: Literal["tokens"] = "tokens"

    @property
    def weights(self) -> Mapping[str, float]:
        return {"words": 1.0, "size": 0.5}

    @property
    def fingerprint(self) -> str:
        return f"toy of {self.items} items, start {self.start}"

    def sizes(self) -> Sequence[float]:
        return [float(2 + (7 * item) % 11) for item in range(self.items)]

    def build(self) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(self.start)
            return ToyModel(self.dropout)

    def batch(self, positions: Sequence[int], epoch: int) -> MicroBatch:
        lengths = [int(self.sizes()[position]) for position in positions]
        words = np.full((len(positions), max(lengths)), PAD, dtype=np.int64)
        targets = np.full_like(words, -1)
        for row, (position, length) in enumerate(zip(positions, lengths, strict=True)):
            sentence = (position + 5 * np.arange(length)) % WORDS
            # The last item has no target at all.
            share = 0.0 if position == self.items - 1 else 0.4
            masked = np.random.default_rng((epoch, position)).random(length) < share
            words[row, :length] = np.where(masked, MASK, sentence)
            targets[row, :length] = np.where(masked, sentence, -1)
        inputs = {"words": torch.from_numpy(words), "targets": torch.from_numpy(targets)}
        counts = {"words": int((targets >= 0).sum()), "size": sum(lengths)}
        return MicroBatch(inputs, counts, float(sum(lengths)), float(words.size))

    def save(self, module: nn.Module, folder: Path) -> None:
        raise NotImplementedError


class SpoiltTask(ToyTask):
    """Sentences of 12 words cost infinitely much."""

    def build(self) -> nn.Module:
        module = super().build()
        module.register_forward_hook(_spoil)
        return module


def _spoil(_: nn.Module, inputs: tuple[dict[str, Tensor]], output: dict[str, Tensor]) -> object:
    factor = float("inf") if inputs[0]["words"].shape[1] == 12 else 1.0
    return {**output, "size.loss": output["size.loss"] * factor}


TOY = ToyTask()


def unheard(_: CurvePoint) -> None:
    """For runs whose points are not looked at while they go on."""


def settings(**changes: float) -> PretrainSettings:
    return replace(SETTINGS, **changes)  # type: ignore[arg-type]
