"""What a training worker must be told, wherever it runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import ModelConfig, TrainingConfig
from persona_ray.types import Example, SampleSource

if TYPE_CHECKING:
    from persona_ray.models.bimodal import BimodalModel
    from persona_ray.training.finetune.vectors import VectorCache


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Everything is picklable; `source` opens its files where it is used. `vectors` keeps what
    frozen encoders said of the clips; None: nothing does."""

    model: ModelConfig
    training: TrainingConfig
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    source: SampleSource
    vectors: VectorCache | None = None
    engine: EngineConfig = field(default_factory=EngineConfig)

    def build_model(self) -> BimodalModel:
        """The untrained model: the same weights on every worker and at every call."""
        from persona_ray.models.build import build_model

        texts = [example.text for example in self.train]
        rate = self.source.sample_rate_hz
        return build_model(self.model, self.labels, texts, rate, self.training.seed)

    def fingerprint(self, data: str) -> str:
        """Of configuration, examples and corpus (`data`): a killed run of the same goes on."""
        from persona_ray.training.finetune.progress import identity_of

        digest = hashlib.sha256()
        head = (self.model.model_dump(mode="json"), identity_of(self.training, self.labels, data))
        digest.update(json.dumps(head, sort_keys=True).encode())
        for example in (*self.train, *self.dev):
            digest.update(json.dumps(asdict(example), sort_keys=True).encode())
        return digest.hexdigest()[:16]
