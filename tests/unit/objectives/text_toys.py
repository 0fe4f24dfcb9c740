"""Small texts, tokenizers and checkpoints for masked words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from persona_ray.config import RunConfig
from persona_ray.models.small import character_tokenizer, character_vocabulary

DIALOGUES = [
    ("您好，我想问一下这个理财产品的收益。", "百分之三点五。", "好的，谢谢，再见。"),
    ("我的iphone12还在保修期吗？", "在的，您可以去门店维修，也可以预约上门服务。"),
    ("喂？", "打错了。"),
    ("我就随便问问，没什么意见，你看着办。", "要是到时候不赔我可怎么办呀？", "我再考虑一下。"),
    ("你们这个服务协议第四条我没看明白，具体来讲是什么意思？", "请稍等。"),
] * 2


def texts() -> list[str]:
    return [turn for turns in DIALOGUES for turn in turns]


def run_config(workspace: Path, path: str = "", max_tokens: int = 24, **text: Any) -> RunConfig:
    tree = {
        "workspace": str(workspace),
        "model": {
            "text": {
                "path": path,
                "max_tokens": max_tokens,
                "small": {"hidden_size": 16, "layers": 2, "heads": 2},
            }
        },
        "pretraining": {"text": {"seed": 3, **text}},
    }
    return RunConfig.model_validate(tree)


def checkpoint(folder: Path, kind: str, **changes: Any) -> Path:
    """A BERT of width 16 saved by transformers' class `kind`, with its tokenizer."""
    import transformers

    vocabulary = character_vocabulary(texts())
    torch.manual_seed(11)
    model = getattr(transformers, kind)(
        transformers.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=48,
            initializer_range=0.3,
            **changes,
        )
    )
    with torch.no_grad():
        # Biases and norms that are left out or shared wrongly must show.
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    character_tokenizer(vocabulary, 48).save_pretrained(folder)
    return folder
