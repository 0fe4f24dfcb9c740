"""Sections that describe the model, its training, its launch and its evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from persona_ray.config.base import Section
from persona_ray.types import Modality


class SmallSpeechConfig(Section):
    """The HuBERT that is built where no speech encoder is named."""

    hidden_size: int = Field(128, ge=8, description="width of the Transformer blocks")
    layers: int = Field(3, ge=1, description="Transformer blocks")
    heads: int = Field(4, ge=1, description="attention heads; must divide hidden_size")
    conv_channels: int = Field(
        96, ge=12, description="channels of the convolutional front; three a frequency band"
    )


class SmallTextConfig(Section):
    """The BERT that is built where no text encoder is named."""

    hidden_size: int = Field(128, ge=8, description="width of the Transformer blocks")
    layers: int = Field(3, ge=1, description="Transformer blocks")
    heads: int = Field(4, ge=1, description="attention heads; must divide hidden_size")


class GramsConfig(Section):
    """The text tower that reads character n-grams: of a text's first line, and of the others."""

    first: int = Field(5, ge=1, le=8, description="longest n-gram of a text's first line")
    later: int = Field(
        2, ge=0, le=8, description="longest n-gram of its other lines; 0: they are not read"
    )
    later_weight: float = Field(
        0.5, gt=0, le=1, description="what the other lines weigh beside the first"
    )
    least: int = Field(
        4, ge=1, description="different lines of training that an n-gram must stand in"
    )
    features: int = Field(64, ge=2, description="width of the vector of a text")
    dropout: float = Field(
        0.8, ge=0, lt=1, description="share of a text's n-grams that are left out in training"
    )


class SpeechEncoderConfig(Section):
    """The speech tower."""

    path: str = Field(
        "",
        description="folder or name of any Hugging Face speech model with hidden states "
        "(TencentGameMate/chinese-hubert-large, ...), or whisper-base: the encoder of the "
        "embedded recogniser, from its own packages; empty builds the small one",
    )
    standardise: bool = Field(
        False,
        description="each number that the speech encoder gives is brought to zero mean and unit "
        "variance over the training clips, as it is before training; for encoders kept frozen",
    )
    small: SmallSpeechConfig = SmallSpeechConfig()


class TextEncoderConfig(Section):
    """The text tower."""

    path: str = Field(
        "",
        description="folder or name of any BERT-like model with its tokenizer "
        "(hfl/chinese-roberta-wwm-ext-large, ...); empty builds the small one",
    )
    reads: Literal["tokens", "grams"] = Field(
        "tokens",
        description="tokens: a BERT-like model; grams: character n-grams, where few labelled texts "
        "and key words are all there is (docs/decisions/0027-call-category.md)",
    )
    small: SmallTextConfig = SmallTextConfig()
    grams: GramsConfig = GramsConfig()
    max_tokens: int = Field(
        64,
        ge=4,
        le=512,
        description="longer texts are cut to this length, in tokens; of n-grams in characters",
    )


class ModelConfig(Section):
    """The bimodal model."""

    modality: Modality = Field(Modality.BOTH, description="which towers are fed")
    speech: SpeechEncoderConfig = SpeechEncoderConfig()
    text: TextEncoderConfig = TextEncoderConfig()
    max_clip_s: float = Field(12.0, gt=0, description="longer audio is cut to this length, in s")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout before the fully connected layer")


class TrainingConfig(Section):
    """Fine-tuning. The defaults are those of the source design for the large encoders."""

    epochs: int = Field(15, ge=1, description="passes over the training clips")
    frozen_epochs: int = Field(
        5, ge=0, description="freeze threshold: encoders are frozen while epoch <= this (from 1)"
    )
    learning_rate: float = Field(1e-5, gt=0, description="Adam's, in the first epoch")
    encoder_learning_rate: float | None = Field(
        None, gt=0, description="Adam's for the encoders; empty means the same"
    )
    decay_rate: float = Field(
        0.95, gt=0, le=1, description="the learning rate is multiplied by this after each epoch"
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="each block of an encoder learns this many times as fast as the one above it",
    )
    stop_loss: float = Field(
        0.05, ge=0, description="training stops after an epoch whose loss is below this"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="training stops after so many epochs in which the loss of the dev split did "
        "not fall; empty: it does not",
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description="which epoch becomes the bundle: the last, or the one with the smallest loss "
        "of the dev split; the other is kept beside it",
    )
    class_weights: Literal["none", "balanced"] | dict[str, PositiveFloat] = Field(
        "none",
        description="balanced: rare labels count more, so that all labels count alike in sum; or "
        "a weight for each label",
    )
    focal_gamma: float = Field(
        0.0, ge=0, description="focal loss: clips told well count less; 0 is cross entropy"
    )
    batch_s: float = Field(
        60.0, gt=0, description="audio seconds of one update, over all workers, padding included"
    )
    micro_batch_s: float = Field(
        60.0,
        gt=0,
        description="audio seconds that a worker passes through the model at a time, padding "
        "included: what memory allows; changes no result",
    )
    max_gradient_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this")
    kept_frozen: tuple[Literal["speech", "text"], ...] = Field(
        (),
        description="encoders that stay frozen after the threshold too, so that each clip passes "
        "them once in the whole run; for an untrained speech encoder and little speech",
    )
    checkpoint_updates: int = Field(
        200, ge=1, description="updates between two checkpoints; one more at the end of each epoch"
    )
    freeze_front: bool = Field(
        True, description="the speech encoder's convolutional front is never trained"
    )
    cache_front: bool = Field(
        False,
        description="frames of the untrained front are kept in the workspace, so that it runs once "
        "for all epochs after the threshold; takes 3600 x frames a second x channels x 4 bytes "
        "for an hour of audio (HuBERT large: 369 MB), half of it where engine.precision is bf16",
    )
    seed: int = Field(0, ge=0, description="of the weights, the order of batches and dropout")

    @model_validator(mode="after")
    def _cached_front_stays(self) -> TrainingConfig:
        if self.cache_front and not self.freeze_front:
            raise ValueError(
                "cache_front keeps what an untrained front gives: set freeze_front = true, or "
                "cache_front = false"
            )
        return self

    @model_validator(mode="after")
    def _threshold_within_epochs(self) -> TrainingConfig:
        if self.frozen_epochs > self.epochs:
            raise ValueError(
                f"frozen_epochs {self.frozen_epochs} > epochs {self.epochs}: lower the threshold, "
                "or set frozen_epochs = epochs to train the head alone"
            )
        return self


class LaunchConfig(Section):
    """Where training runs."""

    backend: Literal["ray", "plain"] = Field(
        "ray", description="ray: Ray Train workers; plain: this process, without Ray"
    )
    workers: int = Field(1, ge=1, description="training workers (data parallel)")
    min_workers: int | None = Field(
        None, ge=1, description="pretraining goes on with so few while nodes are missing"
    )
    cpus_per_worker: float = Field(2, gt=0, description="logical processors of one worker")
    gpus_per_worker: float = Field(0, ge=0, description="GPUs of one worker")
    max_failures: int = Field(2, ge=-1, description="restarts after a lost worker; -1: for ever")
    address: str = Field(
        "", description="Ray address; empty starts (or, inside a job, joins) a local cluster"
    )


class EvaluationConfig(Section):
    """Evaluation on customers never heard."""

    folds: int = Field(
        5,
        ge=0,
        description="customers are rotated through this many held-out folds to compare text, "
        "speech and both; 0 leaves the comparison out",
    )
    sentence_split: bool = Field(
        True, description="also train on a split by sentence, to show what leaks"
    )
    bootstrap: int = Field(1000, ge=0, description="resamples of customers for intervals")
    slice_facts: tuple[str, ...] = Field(
        (),
        description="facts of customers (columns fact_* without that) that accuracy is broken "
        "down by, beside scene, codec, voice, length and noise",
    )
