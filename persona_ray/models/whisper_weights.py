"""Whisper's encoder as a Hugging Face module, from the weights that the recogniser runs on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from persona_ray.errors import EncoderError
from persona_ray.models.ctranslate2_format import Array, read_arrays

_OUTER = {
    "conv1/weight": "conv1.weight",
    "conv1/bias": "conv1.bias",
    "conv2/weight": "conv2.weight",
    "conv2/bias": "conv2.bias",
    "layer_norm/gamma": "layer_norm.weight",
    "layer_norm/beta": "layer_norm.bias",
    "position_encodings/encodings": "embed_positions.weight",
}
_INNER = {
    "self_attention/layer_norm/gamma": "self_attn_layer_norm.weight",
    "self_attention/layer_norm/beta": "self_attn_layer_norm.bias",
    "self_attention/linear_1/weight": "self_attn.out_proj.weight",
    "self_attention/linear_1/bias": "self_attn.out_proj.bias",
    "ffn/layer_norm/gamma": "final_layer_norm.weight",
    "ffn/layer_norm/beta": "final_layer_norm.bias",
    "ffn/linear_0/weight": "fc1.weight",
    "ffn/linear_0/bias": "fc1.bias",
    "ffn/linear_1/weight": "fc2.weight",
    "ffn/linear_1/bias": "fc2.bias",
}
# Queries, keys and values, stacked in this order.
_STACKED = "self_attention/linear_0/"
# Written for inference: what they say is known, or of no use here.
_SETTINGS = {"num_heads", "activation", "alibi", "pre_norm", "scale_embeddings"}
_BLOCK = re.compile(r"layer_(\d+)/(.+)")
_PREFIX = "encoder/"


def encoder_of(model_bin: Path) -> Any:
    """A transformers WhisperEncoder in float32 with the weights of a CTranslate2 model.bin.

    Its sizes are those of the arrays. Raises EncoderError for a file that holds no Whisper.
    """
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    try:
        arrays = read_arrays(model_bin, lambda name: name.startswith(_PREFIX))
        heads = int(arrays[f"{_PREFIX}num_heads"])
        weights = encoder_weights(arrays)
        positions, width = weights["embed_positions.weight"].shape
        config = WhisperConfig(
            d_model=width,
            encoder_layers=1 + max(int(n.split(".")[1]) for n in weights if n.startswith("layers")),
            encoder_attention_heads=heads,
            encoder_ffn_dim=weights["layers.0.fc1.weight"].shape[0],
            num_mel_bins=weights["conv1.weight"].shape[1],
            max_source_positions=positions,
        )
        # Not initialised: every weight is put in below.
        with torch.device("meta"):
            encoder = WhisperEncoder(config)
        encoder.load_state_dict(weights, assign=True)
    except OSError as error:
        raise EncoderError(f"{model_bin} cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise EncoderError(f"{model_bin} holds no Whisper encoder: {error} is missing") from None
    except (ValueError, RuntimeError) as error:
        raise EncoderError(" ".join(str(error).split())[:300]) from None
    return encoder


def encoder_weights(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """From CTranslate2's names to those of a transformers WhisperEncoder, in float32.

    Raises ValueError for an array that has no place there (so a file of another make is not taken
    for half of one's own).
    """
    weights: dict[str, Tensor] = {}
    for full, array in arrays.items():
        name = full.removeprefix(_PREFIX)
        block = _BLOCK.fullmatch(name)
        if name in _OUTER:
            weights[_OUTER[name]] = _tensor(array)
        elif block is None:
            if name not in _SETTINGS:
                raise ValueError(f"'{full}' is no part of a Whisper encoder")
        elif block[2] in _INNER:
            weights[f"layers.{block[1]}.{_INNER[block[2]]}"] = _tensor(array)
        elif block[2].startswith(_STACKED):
            kind = block[2].removeprefix(_STACKED)
            for part, rows in zip("qkv", _tensor(array).chunk(3), strict=True):
                # Keys have no bias in Whisper; CTranslate2 stacks zeros in its place.
                if (part, kind) != ("k", "bias"):
                    weights[f"layers.{block[1]}.self_attn.{part}_proj.{kind}"] = rows.clone()
        else:
            raise ValueError(f"'{full}' is no part of a Whisper encoder")
    return weights


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
