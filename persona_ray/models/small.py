"""The embedded default: a small HuBERT and a small BERT, built here without downloads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch

from persona_ray.config.learning import SmallSpeechConfig, SmallTextConfig
from persona_ray.errors import ModelError
from persona_ray.models.front import (
    envelope_filters,
    gabor_filters,
    kernels,
    modulation_filters,
    reference_bias,
)
from persona_ray.models.speech import SpeechEncoder
from persona_ray.models.text import TextEncoder

if TYPE_CHECKING:
    from transformers import BertConfig, BertTokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ASCII = "abcdefghijklmnopqrstuvwxyz0123456789"
PUNCTUATION = "，。？！、；：,.?!"
# Frames that the positional convolution sees: 0.64 s.
POSITIONAL_KERNEL = 32
POSITIONAL_GROUPS = 16
# Small enough for the untrained blocks to pass on what the front heard.
SPEECH_INIT_STD = 0.03
# Larger than BERT's 0.02, at which the [CLS] of untrained blocks hardly depends on the text.
TEXT_INIT_STD = 0.05
# A character seen once teaches nothing but itself; read as [UNK] it teaches what [UNK] means.
MIN_FREQUENCY = 2
# Places for tokens, also where texts are cut to fewer.
SMALLEST_LENGTH = 128


def small_speech_encoder(config: SmallSpeechConfig, sample_rate_hz: int) -> SpeechEncoder:
    """A HuBERT for waves at `sample_rate_hz`: filter-bank front, random Transformer blocks.

    Draws from torch's global random state. Raises ModelError for sizes that do not fit.
    """
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    _check_heads("speech", config.hidden_size, config.heads)
    kernel, stride = kernels(sample_rate_hz)
    channels = config.conv_channels
    first, second = gabor_filters(channels, sample_rate_hz), envelope_filters(channels)
    groups = POSITIONAL_GROUPS if config.hidden_size % POSITIONAL_GROUPS == 0 else 1
    model = HubertModel(
        HubertConfig(
            hidden_size=config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=4 * config.hidden_size,
            conv_dim=(channels, channels),
            conv_kernel=(kernel, 3),
            conv_stride=(stride, 2),
            conv_bias=True,
            feat_extract_norm="layer",
            num_conv_pos_embeddings=POSITIONAL_KERNEL,
            num_conv_pos_embedding_groups=groups,
            initializer_range=SPEECH_INIT_STD,
            # Dropout between frames would cost a fifth of a training step, and fused attention.
            attention_dropout=0.0,
            layerdrop=0.0,
            apply_spec_augment=False,
            # No masked_spec_embed: pretraining adds its own.
            mask_time_prob=0.0,
        )
    )
    frame_hz = sample_rate_hz / (2 * stride)
    positional = modulation_filters(config.hidden_size, groups, POSITIONAL_KERNEL, frame_hz)
    with torch.no_grad():
        for layer, weight in zip(model.feature_extractor.conv_layers, (first, second), strict=True):
            layer.conv.weight.copy_(weight)
        model.feature_extractor.conv_layers[0].conv.bias.zero_()
        model.feature_extractor.conv_layers[1].conv.bias.copy_(reference_bias(channels))
        _orthogonal(model.feature_projection.projection.weight)
        # An assignment, since weight norm keeps the weight as size and direction.
        model.encoder.pos_conv_embed.conv.weight = positional
        model.encoder.pos_conv_embed.conv.bias.zero_()
    # The level of a clip is heard: it is not normalised away.
    preprocessor = Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=sample_rate_hz,
        padding_value=0.0,
        do_normalize=False,
        return_attention_mask=True,
    )
    return SpeechEncoder(model, preprocessor)


def character_vocabulary(texts: Iterable[str]) -> dict[str, int]:
    """WordPiece vocabulary of single characters: special tokens, ASCII, punctuation, then every
    other character that `texts` have at least twice, the most frequent first."""
    counts = Counter(character for text in texts for character in text.lower())
    base = [*SPECIAL_TOKENS, *ASCII, *(f"##{character}" for character in ASCII), *PUNCTUATION]
    known = set(base)
    seen = [
        character
        for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if count >= MIN_FREQUENCY and character not in known and not character.isspace()
    ]
    return {token: number for number, token in enumerate([*base, *seen])}


def small_text_encoder(
    config: SmallTextConfig, texts: Iterable[str], max_tokens: int
) -> TextEncoder:
    """A BERT that reads characters, with a vocabulary from `texts` (those of training).

    Draws from torch's global random state. Raises ModelError for sizes that do not fit.
    """
    from transformers import BertModel

    vocabulary = character_vocabulary(texts)
    model = BertModel(small_text_config(config, vocabulary, max_tokens))
    return TextEncoder(model, character_tokenizer(vocabulary, max_tokens), max_tokens)


def small_text_config(
    config: SmallTextConfig, vocabulary: Mapping[str, int], max_tokens: int
) -> BertConfig:
    """Sizes of the small BERT; raises ModelError for those that do not fit."""
    from transformers import BertConfig

    _check_heads("text", config.hidden_size, config.heads)
    return BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.hidden_size,
        max_position_embeddings=max(max_tokens, SMALLEST_LENGTH),
        initializer_range=TEXT_INIT_STD,
        pad_token_id=vocabulary["[PAD]"],
    )


def character_tokenizer(vocabulary: Mapping[str, int], max_tokens: int) -> BertTokenizer:
    """The tokenizer of `character_vocabulary`."""
    from transformers import BertTokenizer

    return BertTokenizer(vocab=dict(vocabulary), model_max_length=max(max_tokens, SMALLEST_LENGTH))


def _orthogonal(weight: torch.Tensor) -> None:
    """torch.nn.init.orthogonal_, in double precision: what is left after rounding to float32 does
    not depend on the number of threads, so that driver and workers build the same encoder."""
    rows, columns = weight.shape
    drawn = torch.empty_like(weight).normal_().double()
    q, r = torch.linalg.qr(drawn if rows >= columns else drawn.T)
    q *= r.diagonal().sign()
    weight.copy_(q if rows >= columns else q.T)


def _check_heads(tower: str, hidden_size: int, heads: int) -> None:
    if hidden_size % heads:
        raise ModelError(
            f"model.{tower}.small.hidden_size {hidden_size} must be a multiple of heads {heads}"
        )
