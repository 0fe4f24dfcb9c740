"""The large models of the source design with random weights, from their published configurations:
TencentGameMate/chinese-hubert-large and hfl/chinese-roberta-wwm-ext-large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# HuBERT's unit embeddings: 500 clusters compared in 768 dimensions.
CLUSTERS, PROJECTION = 500, 768


def hubert_large_config() -> Any:
    from transformers import HubertConfig

    return HubertConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        feat_proj_layer_norm=True,
        num_conv_pos_embeddings=128,
        num_conv_pos_embedding_groups=16,
        final_dropout=0.0,
    )


def bert_large_config() -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=21128,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
    )


def preprocessor() -> Any:
    from transformers import Wav2Vec2FeatureExtractor

    return Wav2Vec2FeatureExtractor(
        sampling_rate=16_000, do_normalize=True, return_attention_mask=True
    )


def save_hubert_large(folder: Path) -> Path:
    from transformers import HubertModel

    HubertModel(hubert_large_config()).save_pretrained(folder)
    preprocessor().save_pretrained(folder)
    return folder


def save_bert_large(folder: Path, characters: str) -> Path:
    """With its masked-word head, and a vocabulary of 21128 that begins with `characters`."""
    from transformers import BertForMaskedLM, BertTokenizer

    config = bert_large_config()
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(characters)]
    rest = [f"[unused{n}]" for n in range(config.vocab_size - len(known))]
    BertForMaskedLM(config).save_pretrained(folder)
    vocabulary = {token: number for number, token in enumerate([*known, *rest])}
    BertTokenizer(vocab=vocabulary, model_max_length=512).save_pretrained(folder)
    return folder
