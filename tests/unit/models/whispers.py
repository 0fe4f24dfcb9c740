"""A tiny random Whisper, as a Hugging Face folder and as CTranslate2's model.bin."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

WIDTH, BLOCKS, BANDS = 16, 3, 80
_TYPES = {np.dtype("<f4"): 0, np.dtype("<i1"): 1, np.dtype("<i2"): 2, np.dtype("<f2"): 4}


def tiny_encoder(seconds: int = 4) -> Any:
    """A transformers WhisperEncoder of three blocks of 16 with positions for `seconds`."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(3)
    encoder = WhisperEncoder(
        WhisperConfig(
            d_model=WIDTH,
            encoder_layers=BLOCKS,
            encoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=24,
            num_mel_bins=BANDS,
            max_source_positions=50 * seconds,
            init_std=0.3,
            # Training drops whole layers of such a checkpoint, if left alone.
            encoder_layerdrop=0.5,
        )
    )
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return encoder.eval()


def model_bin(arrays: Mapping[str, Any], aliases: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a model.bin of version 6, after CTranslate2's own model_spec.py."""

    def text(value: str) -> bytes:
        raw = value.encode() + b"\0"
        return struct.pack("<H", len(raw)) + raw

    out = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, value in arrays.items():
        array = np.asarray(value)
        out += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        out += struct.pack("<BI", _TYPES[array.dtype], array.nbytes) + array.tobytes()
    out += struct.pack("<I", len(aliases or {}))
    return out + b"".join(text(a) + text(n) for a, n in (aliases or {}).items())


def converted(encoder: Any) -> dict[str, Any]:
    """The arrays that CTranslate2's converter makes of an encoder: float16, q, k, v stacked."""
    state = {name: value.detach().numpy() for name, value in encoder.state_dict().items()}
    plain = {
        "self_attn_layer_norm": "self_attention/layer_norm",
        "self_attn.out_proj": "self_attention/linear_1",
        "final_layer_norm": "ffn/layer_norm",
        "fc1": "ffn/linear_0",
        "fc2": "ffn/linear_1",
    }
    arrays = {
        "encoder/conv1/weight": state["conv1.weight"],
        "encoder/conv1/bias": state["conv1.bias"],
        "encoder/conv2/weight": state["conv2.weight"],
        "encoder/conv2/bias": state["conv2.bias"],
        "encoder/position_encodings/encodings": state["embed_positions.weight"],
        "encoder/layer_norm/gamma": state["layer_norm.weight"],
        "encoder/layer_norm/beta": state["layer_norm.bias"],
    }
    for block in range(len(encoder.layers)):
        here, there = f"layers.{block}", f"encoder/layer_{block}"
        for name, other in plain.items():
            kinds = ("gamma", "beta") if "norm" in name else ("weight", "bias")
            for kind, own in zip(kinds, ("weight", "bias"), strict=True):
                arrays[f"{there}/{other}/{kind}"] = state[f"{here}.{name}.{own}"]
        bias = [state.get(f"{here}.self_attn.{p}_proj.bias", np.zeros(WIDTH)) for p in "qkv"]
        weight = [state[f"{here}.self_attn.{p}_proj.weight"] for p in "qkv"]
        arrays[f"{there}/self_attention/linear_0/weight"] = np.concatenate(weight)
        arrays[f"{there}/self_attention/linear_0/bias"] = np.concatenate(bias)
    found: dict[str, Any] = {name: array.astype("<f2") for name, array in arrays.items()}
    heads = np.asarray(encoder.config.encoder_attention_heads, "<i2")
    found |= {"encoder/num_heads": heads, "decoder/embeddings/weight": np.ones((3, 2), "<f2")}
    return found


def write_model_bin(path: Path, encoder: Any) -> Path:
    path.write_bytes(model_bin(converted(encoder), {"decoder/tied": "decoder/embeddings/weight"}))
    return path
