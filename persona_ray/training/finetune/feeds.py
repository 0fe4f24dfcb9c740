"""Where the inputs of a step come from: audio and text, or vectors cached before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from persona_ray.models.bimodal import Batch, BimodalModel, Encoded
from persona_ray.models.collate import collate
from persona_ray.types import Example, SampleSource

# By clip id: the mean over frames of each block's output, (layers, features).
SpeechVectors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Clips for the classifier: `cached` vectors of the towers that need not run again, `batch`
    for those that must; None where none must."""

    cached: Encoded
    batch: Batch | None


@dataclass(frozen=True, slots=True)
class Vectors:
    """What frozen towers said of all clips, on the CPU: `speech` (clips, layers, features), `text`
    (clips, features); None where a tower is not frozen or not there."""

    speech: Tensor | None = None
    text: Tensor | None = None

    def rows(self, positions: Sequence[int], device: torch.device) -> Encoded:
        at = torch.tensor(positions, dtype=torch.long)
        return Encoded(
            speech=None if self.speech is None else self.speech[at].to(device),
            text=None if self.text is None else self.text[at].to(device),
        )


def speech_of(examples: Sequence[Example], known: SpeechVectors) -> Vectors:
    """The speech vectors of `examples` in their order."""
    return Vectors(speech=torch.stack([torch.tensor(known[e.clip_id]) for e in examples]))


@dataclass(frozen=True, slots=True)
class Feed:
    """Inputs of the clips at some positions of `examples`.

    A tower that `vectors` has is fed from there; the others get audio, which is read clip by clip
    when a step needs it, and text.
    """

    examples: Sequence[Example]
    source: SampleSource
    model: BimodalModel
    device: torch.device
    vectors: Vectors = Vectors()

    def with_vectors(self, vectors: Vectors) -> Feed:
        return replace(self, vectors=vectors)

    def inputs(self, positions: Sequence[int]) -> Inputs:
        hears = self.model.speech is not None and self.vectors.speech is None
        reads = self.model.text is not None and self.vectors.text is None
        batch = self._batch(positions, hears, reads).to(self.device) if hears or reads else None
        return Inputs(self.vectors.rows(positions, self.device), batch)

    def _batch(self, positions: Sequence[int], hears: bool, reads: bool) -> Batch:
        chosen = [self.examples[position] for position in positions]
        texts = [example.text for example in chosen]
        if hears or self.model.speech is None:
            waves = [self.source.samples(example.clip_id) for example in chosen] if hears else []
            whole = collate(texts, waves, None, self.model, self.source.sample_rate_hz)
            return whole if reads else replace(whole, tokens=None)
        assert self.model.text is not None
        return Batch(None, None, self.model.text.tokenize(texts))
