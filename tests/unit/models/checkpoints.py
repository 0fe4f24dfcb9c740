"""Tiny random checkpoints of real Hugging Face families, saved as folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

RATE_HZ = 16_000


@dataclass(frozen=True)
class Family:
    """A family in one of its two make-ups: `stable` is the pre-norm one of the large models."""

    model_type: str
    norm: str
    stable: bool

    def __str__(self) -> str:
        return f"{self.model_type}-{self.norm}-{'stable' if self.stable else 'post'}"


FAMILIES = [
    Family(model_type, norm, stable)
    for model_type in ("hubert", "wav2vec2", "wavlm", "unispeech-sat")
    for norm, stable in (("group", False), ("layer", True))
]
# Its positional convolutions leak padding: it is run clip by clip.
LEAKY = Family("data2vec-audio", "layer", False)


def speech_checkpoint(folder: Path, family: Family, **changes: Any) -> Path:
    """Three blocks, width 24, the usual seven-layer front made small: 320 samples a frame."""
    from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

    settings: dict[str, Any] = {
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "conv_dim": (8,) * 7,
        "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
        "conv_stride": (5, 2, 2, 2, 2, 2, 2),
        "num_conv_pos_embeddings": 5 if family is LEAKY else 16,
        "num_conv_pos_embedding_groups": 2,
        "feat_extract_norm": family.norm,
        "do_stable_layer_norm": family.stable,
        "initializer_range": 0.3,
        "layerdrop": 0.5,
        "mask_time_prob": 0.5,
        "mask_time_length": 2,
        **changes,
    }
    torch.manual_seed(7)
    model = AutoModel.from_config(AutoConfig.for_model(family.model_type, **settings))
    with torch.no_grad():
        # Norms of ones and zeros would hide a norm that is left out or applied twice.
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=RATE_HZ, do_normalize=True).save_pretrained(folder)
    return folder


def waves(*lengths: int, seed: int = 0) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Noise that rises and falls, off centre: normalisation and edges both matter."""
    rng = np.random.default_rng(seed)
    return [
        np.asarray(
            0.1 + rng.standard_normal(n) * (0.02 + np.abs(np.sin(np.arange(n) / 900))),
            dtype=np.float32,
        )
        for n in lengths
    ]


def padded(
    clips: list[np.ndarray[Any, np.dtype[np.float32]]], beyond: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Waves (batch, samples) filled up with `beyond`, and lengths (batch,)."""
    lengths = torch.tensor([len(clip) for clip in clips])
    batch = torch.full((len(clips), int(lengths.max())), beyond)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    return batch, lengths
