"""Where the inputs of a step come from: audio and text, or vectors cached before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from persona_ray.models.bimodal import Batch, BimodalModel, Encoded
from persona_ray.models.collate import collate
from persona_ray.types import Example, SampleSource


class Feed(Protocol):
    """Inputs of the clips at `positions` of one list of examples."""

    def inputs(self, positions: Sequence[int]) -> Batch | Encoded: ...


@dataclass(frozen=True, slots=True)
class AudioFeed:
    """Reads audio clip by clip when a step needs it; nothing is kept."""

    examples: Sequence[Example]
    source: SampleSource
    model: BimodalModel
    device: torch.device

    def inputs(self, positions: Sequence[int]) -> Batch:
        chosen = [self.examples[position] for position in positions]
        hears = self.model.speech is not None
        waves = [self.source.samples(example.clip_id) for example in chosen] if hears else []
        texts = [example.text for example in chosen]
        rate = self.source.sample_rate_hz
        return collate(texts, waves, None, self.model, rate).to(self.device)


@dataclass(frozen=True, slots=True)
class VectorFeed:
    """What the frozen encoders said of each clip: `speech` (clips, layers, features), `text`
    (clips, features), both on the CPU, either None where the model lacks that tower."""

    speech: Tensor | None
    text: Tensor | None
    device: torch.device

    def inputs(self, positions: Sequence[int]) -> Encoded:
        rows = torch.tensor(positions, dtype=torch.long)
        return Encoded(
            speech=None if self.speech is None else self.speech[rows].to(self.device),
            text=None if self.text is None else self.text[rows].to(self.device),
        )
