"""From configuration to model."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from persona_ray.config.learning import ModelConfig
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.grams import gram_encoder
from persona_ray.models.load import load_speech_tower, load_text_tower
from persona_ray.models.small import small_speech_encoder, small_text_encoder
from persona_ray.models.text import TextTower
from persona_ray.models.tower import SpeechTower
from persona_ray.types import Modality


def build_model(
    config: ModelConfig,
    labels: tuple[str, ...],
    texts: Iterable[str],
    sample_rate_hz: int,
    seed: int,
) -> BimodalModel:
    """Load the named encoders, or build the small ones, and put a new head on them.

    `texts` (those of training) give the small text encoder its vocabulary; `sample_rate_hz` is the
    small speech encoder's rate (a named one has its own). The same arguments give the same weights,
    and torch's global random state is left as it was. Raises EncoderError, ModelError.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        speech: SpeechTower | None = None
        text: TextTower | None = None
        if config.modality is not Modality.TEXT:
            if config.speech.path:
                speech = load_speech_tower(config.speech.path)
            else:
                speech = small_speech_encoder(config.speech.small, sample_rate_hz)
        if config.modality is not Modality.SPEECH:
            if config.text.path:
                text = load_text_tower(config.text.path, config.text.max_tokens)
            elif config.text.reads == "grams":
                text = gram_encoder(config.text.grams, texts, config.text.max_tokens)
            else:
                text = small_text_encoder(config.text.small, texts, config.text.max_tokens)
        return BimodalModel(
            speech, text, labels, config.dropout, config.max_clip_s, config.speech.standardise
        )
