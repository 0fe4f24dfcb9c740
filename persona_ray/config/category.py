"""Section of the category model: what a call is about."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from persona_ray.config.base import Section
from persona_ray.config.learning import ModelConfig, TextEncoderConfig, TrainingConfig
from persona_ray.types import Modality


class CategoryTextConfig(TextEncoderConfig):
    """What reads a caller's turns."""

    reads: Literal["tokens", "grams"] = Field(
        "grams", description="tokens: a BERT-like model; grams: character n-grams"
    )
    max_tokens: int = Field(
        512,
        ge=4,
        le=512,
        description="longer texts are cut to this length, in tokens; of n-grams in characters",
    )


class CategoryModelConfig(ModelConfig):
    """The model: one tower, which reads."""

    modality: Modality = Field(Modality.TEXT, description="which towers are fed: text")
    text: CategoryTextConfig = CategoryTextConfig()

    @model_validator(mode="after")
    def _reads(self) -> CategoryModelConfig:
        if self.modality is not Modality.TEXT:
            raise ValueError(
                f"modality '{self.modality}': the category model reads, set it to text"
            )
        return self


class CategoryTrainingConfig(TrainingConfig):
    """Its training; what is counted in seconds elsewhere is counted in texts."""

    epochs: int = Field(5, ge=1, description="passes over the training texts")
    frozen_epochs: int = Field(0, ge=0, description="the tower starts from noise: none")
    learning_rate: float = Field(2e-3, gt=0, description="Adam's, in the first epoch")
    decay_rate: float = Field(
        0.7, gt=0, le=1, description="the learning rate is multiplied by this after each epoch"
    )
    stop_loss: float = Field(
        0.0, ge=0, description="training stops after an epoch whose loss is below this"
    )
    keep: Literal["last", "best"] = Field(
        "best", description="which epoch becomes the bundle; best: smallest loss of the dev split"
    )
    batch_s: float = Field(32.0, gt=0, description="texts of one update, over all workers")
    micro_batch_s: float = Field(
        32.0, gt=0, description="texts that a worker passes through the model at a time"
    )


class CategoryConfig(Section):
    """Training of the category model."""

    dialogues: tuple[str, ...] = Field(
        (), description="files of labelled dialogues (JSON lines; .gz: compressed)"
    )
    test: float = Field(0.2, gt=0, lt=0.5, description="share of dialogues that is judged by")
    dev: float = Field(
        0.1, gt=0, lt=0.5, description="share that says when to stop and how sure to sound"
    )
    salt: str = Field("category", description="changes which dialogues fall where")
    name: str = Field("category", description="of the registered model")
    model: CategoryModelConfig = CategoryModelConfig()
    training: CategoryTrainingConfig = CategoryTrainingConfig()
