"""The large models' shapes and sizes, on torch's meta device: no memory, no arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from persona_ray.models.speech import SpeechEncoder
from persona_ray.objectives.masked_units import MaskedUnits
from persona_ray.objectives.masked_words import MaskedWords
from tests.unit.models.large import (
    CLUSTERS,
    PROJECTION,
    bert_large_config,
    hubert_large_config,
    preprocessor,
)

WIDTH, LAYERS, INNER = 1024, 24, 4096


def size(module: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


# Four projections of the attention, two of the feed-forward part, two norms.
BLOCK = 4 * linear(WIDTH, WIDTH) + linear(WIDTH, INNER) + linear(INNER, WIDTH) + 2 * 2 * WIDTH
# Seven convolutions of 512 channels, each with bias and norm; then norm and projection.
FRONT = (10 + 4 * 3 * 512 + 2 * 2 * 512) * 512 + 7 * 3 * 512 + 2 * 512 + linear(512, WIDTH)
# A grouped convolution with weight norm (a size for each of its 128 places), its bias, a norm.
POSITIONS = WIDTH * WIDTH // 16 * 128 + 128 + WIDTH + 2 * WIDTH
EMBEDDINGS = (21128 + 512 + 2) * WIDTH + 2 * WIDTH


@pytest.fixture(scope="module")
def speech() -> SpeechEncoder:
    from transformers import HubertModel

    with torch.device("meta"):
        return SpeechEncoder(HubertModel(hubert_large_config()), preprocessor())


def test_hubert_large_has_316_million_parameters(speech: SpeechEncoder) -> None:
    masked = WIDTH
    assert size(speech) == FRONT + POSITIONS + LAYERS * BLOCK + masked
    assert size(speech) == pytest.approx(316e6, rel=0.005)
    assert (speech.layers, speech.features, speech.sample_rate_hz) == (LAYERS, WIDTH, 16_000)
    assert speech.min_samples == 400


def test_hubert_large_makes_50_frames_a_second(speech: SpeechEncoder) -> None:
    waves = torch.zeros(2, 5 * 16_000, device="meta")
    outputs = speech.model(waves, output_hidden_states=True)
    assert outputs.last_hidden_state.shape == (2, 249, WIDTH)
    assert len(outputs.hidden_states) == LAYERS + 1
    assert speech.frames(torch.tensor([5 * 16_000, 16_000, 100])).tolist() == [249, 49, 1]


def test_all_of_hubert_large_is_pretrained(speech: SpeechEncoder) -> None:
    with torch.device("meta"):
        model = MaskedUnits(speech, CLUSTERS, PROJECTION, 0.1, unmasked=False, penalty=True)
    heads = linear(WIDTH, PROJECTION) + CLUSTERS * PROJECTION
    assert size(model, trained=True) == size(model) == size(speech) + heads
    assert model.projection.weight.shape == (PROJECTION, WIDTH)
    assert model.units.shape == (CLUSTERS, PROJECTION)


def test_bert_large_has_326_million_parameters_with_its_head() -> None:
    from transformers import BertForMaskedLM, BertModel

    with torch.device("meta"):
        alone = BertModel(bert_large_config())
        model = MaskedWords(BertForMaskedLM(bert_large_config()))
    pooler = linear(WIDTH, WIDTH)
    assert size(alone) == EMBEDDINGS + LAYERS * BLOCK + pooler
    assert size(alone) == pytest.approx(326e6, rel=0.005)
    # The output projection is the embedding, and only has a bias of its own; no pooler.
    head = linear(WIDTH, WIDTH) + 2 * WIDTH + 21128
    assert size(model, trained=True) == EMBEDDINGS + LAYERS * BLOCK + head
    tokens = torch.zeros(3, 64, dtype=torch.int64, device="meta")
    assert alone(tokens).last_hidden_state.shape == (3, 64, WIDTH)
