"""A task small enough to learn in seconds: the label is the pitch and one of the characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from persona_ray.config.learning import (
    ModelConfig,
    SmallSpeechConfig,
    SmallTextConfig,
    SpeechEncoderConfig,
    TextEncoderConfig,
    TrainingConfig,
)
from persona_ray.launch.workers.job import TrainingJob
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.build import build_model
from persona_ray.types import Example, Modality, Split

if TYPE_CHECKING:
    from persona_ray.types import Samples

LABELS = ("red", "blue", "yellow", "green")
RATE_HZ = 8000
PITCH_HZ = {"red": 120.0, "blue": 190.0, "yellow": 280.0, "green": 400.0}
WORDS = {"red": "哈", "blue": "为", "yellow": "快", "green": "好"}


@dataclass(frozen=True)
class Tones:
    """Audio made from the clip's name, so that it can be sent anywhere: `label-number-ms`."""

    sample_rate_hz: int = RATE_HZ

    def digest(self, clip_id: str) -> str:
        return f"{self.sample_rate_hz} {clip_id}"

    def samples(self, clip_id: str) -> Samples:
        label, number, duration_ms = clip_id.split("-")
        rng = np.random.default_rng(int(number))
        time_s = np.arange(int(duration_ms) * RATE_HZ // 1000) / RATE_HZ
        pitch = PITCH_HZ[label] * (1 + 0.05 * rng.standard_normal())
        wave = sum(np.sin(2 * np.pi * pitch * k * time_s) / k for k in range(1, 5))
        noise = 0.05 * rng.standard_normal(len(time_s))
        return np.asarray(0.1 * wave + noise, dtype=np.float32)


def examples(
    count: int, split: Split = Split.TRAIN, first: int = 0, even: bool = False
) -> list[Example]:
    """`count` clips, three a customer, labels in turn by customer; `even`: all of 600 ms."""
    made = []
    for number in range(first, first + count):
        label = LABELS[(number // 3) % len(LABELS)]
        duration_ms = 600 if even else 400 + 37 * (number * 7 % 20)
        rng = np.random.default_rng((number, 1))
        text = "".join(rng.choice(list("我你的是了吗在有"), 6)) + WORDS[label] * 2
        made.append(
            Example(
                clip_id=f"{label}-{number}-{duration_ms}",
                customer_id=f"customer-{number // 3}",
                label=label,
                split=split,
                text=text,
                duration_s=duration_ms / 1000,
            )
        )
    return made


def model_config(modality: Modality = Modality.BOTH, dropout: float = 0.1) -> ModelConfig:
    return ModelConfig(
        modality=modality,
        speech=SpeechEncoderConfig(
            small=SmallSpeechConfig(hidden_size=16, layers=2, heads=2, conv_channels=24)
        ),
        text=TextEncoderConfig(
            small=SmallTextConfig(hidden_size=16, layers=1, heads=2), max_tokens=16
        ),
        dropout=dropout,
    )


def tiny_model(modality: Modality = Modality.BOTH, dropout: float = 0.1) -> BimodalModel:
    texts = [example.text for example in examples(60)]
    return build_model(model_config(modality, dropout), LABELS, texts, RATE_HZ, seed=0)


def still(model: BimodalModel) -> BimodalModel:
    """Without dropout anywhere."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "activation_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def training_config(epochs: int, frozen_epochs: int) -> TrainingConfig:
    return TrainingConfig(
        epochs=epochs,
        frozen_epochs=frozen_epochs,
        learning_rate=0.02,
        encoder_learning_rate=0.01,
        batch_s=12.0,
        micro_batch_s=5.0,
        stop_loss=0.0,
    )


class QuietJob(TrainingJob):
    """Without dropout, which differs from rank to rank."""

    def build_model(self) -> BimodalModel:
        return still(super().build_model())


def assert_same_weights(one: BimodalModel, other: BimodalModel, tolerance: float) -> None:
    others = other.state_dict()
    for name, tensor in one.state_dict().items():
        # Attention does not depend on the keys' bias: its gradient is rounding, which Adam blows
        # up to whole steps.
        if tolerance and name.endswith(("k_proj.bias", "key.bias")):
            continue
        torch.testing.assert_close(tensor, others[name], atol=tolerance, rtol=tolerance, msg=name)
