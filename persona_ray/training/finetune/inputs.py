"""Labelled clips as micro-batches: audio and text, or what frozen towers and fronts gave before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.collate import collate
from persona_ray.objectives.base import MicroBatch
from persona_ray.objectives.classification import TERM
from persona_ray.types import Example, SampleSource

# By clip id: the mean over frames of each block's output, (layers, features).
SpeechVectors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Vectors:
    """What frozen towers said of all clips, on the CPU: `speech` (clips, layers, features), `text`
    (clips, features); None where a tower is not frozen or not there."""

    speech: Tensor | None = None
    text: Tensor | None = None


class Front(Protocol):
    """What a frozen front said of clips."""

    def batch(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """`front` (batch, frames, channels) and `lengths` (batch,) in samples, of the clips at
        `positions`."""
        ...


def speech_of(examples: Sequence[Example], known: SpeechVectors) -> Vectors:
    """The speech vectors of `examples` in their order."""
    return Vectors(speech=torch.stack([torch.tensor(known[e.clip_id]) for e in examples]))


@dataclass(frozen=True, slots=True)
class LabelledClips:
    """`examples` for a `Classifier` of `model`, the same in every epoch.

    A tower that `vectors` has is fed from there, blocks behind a `front` from that; the others get
    audio, which is read clip by clip when a batch needs it, and text.
    """

    examples: Sequence[Example]
    source: SampleSource
    model: BimodalModel
    vectors: Vectors = Vectors()
    front: Front | None = None

    def with_vectors(self, vectors: Vectors) -> LabelledClips:
        return replace(self, vectors=vectors)

    def sizes(self) -> list[float]:
        """Seconds of each clip, as far as the model hears it."""
        longest_s = self.model.max_clip_s
        return [min(example.duration_s, longest_s) for example in self.examples]

    def batch(self, positions: Sequence[int], epoch: int) -> MicroBatch:  # noqa: ARG002 - as Items
        chosen = [self.examples[position] for position in positions]
        index = {label: at for at, label in enumerate(self.model.labels)}
        inputs = self.inputs(positions)
        inputs["labels"] = torch.tensor([index[example.label] for example in chosen])
        sizes = [min(example.duration_s, self.model.max_clip_s) for example in chosen]
        return MicroBatch(inputs, {TERM: len(chosen)}, sum(sizes), max(sizes) * len(chosen))

    def inputs(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """`speech` and `text` vectors, or what their towers take: `waves` or `front`, with
        `lengths`, and `tokens.<name>`."""
        at = torch.tensor(positions, dtype=torch.long)
        inputs: dict[str, Tensor] = {}
        if self.vectors.speech is not None:
            inputs["speech"] = self.vectors.speech[at]
        elif self.front is not None:
            inputs |= self.front.batch(positions)
        elif self.model.speech is not None:
            inputs |= self.heard(positions)
        if self.vectors.text is not None:
            inputs["text"] = self.vectors.text[at]
        elif self.model.text is not None:
            tokens = self.model.text.tokenize([self.examples[one].text for one in positions])
            inputs |= {f"{_TOKENS}{name}": value for name, value in tokens.items()}
        return inputs

    def heard(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """`waves` and `lengths`."""
        waves = [self.source.samples(self.examples[one].clip_id) for one in positions]
        batch = collate([], waves, None, self.model, self.source.sample_rate_hz, reads=False)
        assert batch.waves is not None
        assert batch.lengths is not None
        return {"waves": batch.waves, "lengths": batch.lengths}


_TOKENS = "tokens."


def tokens_of(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the text tower takes; empty where it is not asked."""
    return {
        name.removeprefix(_TOKENS): value
        for name, value in inputs.items()
        if name.startswith(_TOKENS)
    }
