"""What masked-unit pretraining starts from: a checkpoint, or the small encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.frames import FrameGrid
from persona_ray.config.learning import SpeechEncoderConfig
from persona_ray.errors import ConfigError

if TYPE_CHECKING:
    from persona_ray.models.speech import SpeechEncoder


@dataclass(frozen=True, slots=True)
class EncoderSource:
    """How every worker comes to the same encoder: from a folder, or built small from a seed.

    `source_hz` is the rate of the clips, and of an encoder that is built.
    """

    config: SpeechEncoderConfig
    source_hz: int
    seed: int

    @classmethod
    def of(cls, config: SpeechEncoderConfig, path: str, source_hz: int, seed: int) -> EncoderSource:
        """The encoder in `path`, or without one the small encoder of `config`."""
        return cls(config.model_copy(update={"path": path}), source_hz, seed)

    def load(self) -> SpeechEncoder:
        """The same weights at every call; torch's global random state is left as it was.

        Raises ConfigError for Whisper's encoder, EncoderError for what is none.
        """
        import torch

        from persona_ray.models.load import load_speech_tower
        from persona_ray.models.small import small_speech_encoder
        from persona_ray.models.speech import SpeechEncoder

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if not self.config.path:
                return small_speech_encoder(self.config.small, self.source_hz)
            tower = load_speech_tower(self.config.path)
        if not isinstance(tower, SpeechEncoder):
            raise ConfigError(
                f"model.speech.path '{self.config.path}' is a {tower.model.config.model_type} "
                "encoder, which masked units cannot train: name a HuBERT checkpoint, or none for "
                "the small one (model.speech.path=), or leave speech out of pretraining.encoders"
            )
        return tower


def grid_of(encoder: SpeechEncoder) -> FrameGrid:
    """Where the encoder's frames lie."""
    config = encoder.model.config
    return FrameGrid(
        rate_hz=encoder.sample_rate_hz,
        window=encoder.min_samples,
        stride=int(np.prod(config.conv_stride)),
    )
