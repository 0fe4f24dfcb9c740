"""The bimodal model: speech vector and text vector, concatenated and classified."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from persona_ray.errors import ModelError
from persona_ray.models.featurizer import Featurizer
from persona_ray.models.text import TextTower
from persona_ray.models.tower import SpeechTower
from persona_ray.types import Modality


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips as the model takes them; what a tower does not need may be None.

    `waves` (batch, samples) float32 at the speech encoder's rate, zero beyond `lengths` (batch,);
    `tokens` (batch, tokens) each; `labels` (batch,) indices.
    """

    waves: Tensor | None
    lengths: Tensor | None
    tokens: dict[str, Tensor] | None
    labels: Tensor | None = None

    @property
    def size(self) -> int:
        if self.lengths is not None:
            return int(self.lengths.shape[0])
        if self.tokens is not None:
            return int(self.tokens["input_ids"].shape[0])
        raise ModelError("batch has neither audio nor text: give at least one of them")

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            waves=None if self.waves is None else self.waves.to(device),
            lengths=None if self.lengths is None else self.lengths.to(device),
            tokens=None
            if self.tokens is None
            else {name: value.to(device) for name, value in self.tokens.items()},
            labels=None if self.labels is None else self.labels.to(device),
        )


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoders say of a batch, before anything that the head learns.

    `speech` (batch, layers, features): mean over frames of each block; `text` (batch, features).
    """

    speech: Tensor | None
    text: Tensor | None


class BimodalModel(nn.Module):
    """Towers -> vectors -> concatenation -> dropout -> fully connected -> logits of `labels`.

    Without one tower it is the model of the other alone. Each tower's vector passes a LayerNorm
    without weights before the concatenation: towers differ in scale by an order of magnitude
    (residual streams of pre-norm encoders grow with depth), and with one learning rate the louder
    would be learned first.
    """

    def __init__(
        self,
        speech: SpeechTower | None,
        text: TextTower | None,
        labels: tuple[str, ...],
        dropout: float,
        max_clip_s: float,
        standardise: bool = False,
    ) -> None:
        """`max_clip_s`: audio beyond it is not heard (`collate` cuts it); `standardise`: see
        Featurizer, whose `fit` must then see the training clips."""
        super().__init__()
        if speech is None and text is None:
            raise ModelError("a model needs a speech or a text encoder")
        if len(set(labels)) != len(labels) or len(labels) < 2:
            raise ModelError(f"labels {list(labels)} must be at least two different names")
        longest_s = None if speech is None else speech.longest_s
        if longest_s is not None and max_clip_s > longest_s:
            raise ModelError(
                f"model.max_clip_s {max_clip_s:g} > {longest_s:g} s, the longest clip that the "
                f"speech encoder takes: lower it to {longest_s:g}"
            )
        self.labels = tuple(labels)
        self.max_clip_s = max_clip_s
        self.speech = speech
        self.text = text
        self.featurizer = None
        if speech is not None:
            self.featurizer = Featurizer(speech.layers, speech.features if standardise else None)
        width = (0 if speech is None else speech.features) + (0 if text is None else text.features)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, len(labels))

    @property
    def modality(self) -> Modality:
        if self.speech is None:
            return Modality.TEXT
        return Modality.SPEECH if self.text is None else Modality.BOTH

    def encode(self, batch: Batch) -> Encoded:
        """Run the towers; raises ModelError where a tower finds no input."""
        speech = text = None
        if self.speech is not None:
            if batch.waves is None or batch.lengths is None:
                raise ModelError("the model hears: the batch needs waves and lengths")
            speech = self.speech.pooled(batch.waves, batch.lengths)
        if self.text is not None:
            if batch.tokens is None:
                raise ModelError("the model reads: the batch needs tokens")
            text = self.text(batch.tokens)
        return Encoded(speech, text)

    def classify(self, encoded: Encoded) -> Tensor:
        """Logits (batch, labels)."""
        vectors = []
        if self.featurizer is not None:
            if encoded.speech is None:
                raise ModelError("the model hears: there is no speech vector to classify")
            vectors.append(self.featurizer(encoded.speech))
        if self.text is not None:
            if encoded.text is None:
                raise ModelError("the model reads: there is no text vector to classify")
            vectors.append(encoded.text)
        scaled = [nn.functional.layer_norm(vector, vector.shape[-1:]) for vector in vectors]
        logits: Tensor = self.classifier(self.dropout(torch.cat(scaled, dim=-1)))
        return logits

    def forward(self, batch: Batch) -> Tensor:
        """Logits (batch, labels)."""
        return self.classify(self.encode(batch))

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What is trained once the encoders are unfrozen."""
        towers = [tower for tower in (self.speech, self.text) if tower is not None]
        return [parameter for tower in towers for parameter in tower.trainable()]

    def head_parameters(self) -> list[nn.Parameter]:
        """Layer weights and the fully connected layer."""
        weights = [] if self.featurizer is None else list(self.featurizer.parameters())
        return [*weights, *self.classifier.parameters()]

    def set_encoders_frozen(self, frozen: bool) -> None:
        """Freeze or unfreeze both towers; a frozen tower stays in eval mode under `train()`."""
        for tower in (self.speech, self.text):
            if tower is not None:
                tower.set_frozen(frozen)
        self.train(self.training)
