"""The bimodal model: what the head sees, learns and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from persona_ray.config.learning import (
    ModelConfig,
    SmallSpeechConfig,
    SmallTextConfig,
    SpeechEncoderConfig,
    TextEncoderConfig,
)
from persona_ray.errors import ModelError
from persona_ray.models.bimodal import Batch, BimodalModel, Encoded
from persona_ray.models.build import build_model
from persona_ray.models.collate import collate
from persona_ray.models.featurizer import Featurizer
from persona_ray.types import Modality

LABELS = ("red", "blue", "yellow", "green")
RATE_HZ = 8_000
TEXTS = ["你好我想问一下这个产品", "你好这个我不要", "产品我想想"]
WAVES = [
    (0.1 * np.random.default_rng(n).standard_normal(n)).astype(np.float32)
    for n in (8_000, 20_000, 3_000)
]


def small_model(modality: Modality = Modality.BOTH, seed: int = 0) -> BimodalModel:
    config = ModelConfig(
        modality=modality,
        speech=SpeechEncoderConfig(small=SmallSpeechConfig(hidden_size=32, conv_channels=24)),
        text=TextEncoderConfig(small=SmallTextConfig(hidden_size=16)),
        max_clip_s=2.0,
        dropout=0.2,
    )
    return build_model(config, LABELS, TEXTS, RATE_HZ, seed).eval()


def test_weighting_and_pooling_commute() -> None:
    featurizer = Featurizer(4)
    torch.nn.init.normal_(featurizer.layer_weights)
    hidden = torch.randn(2, 4, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(
        featurizer.double()(hidden).mean(dim=1), featurizer(hidden.mean(dim=2))
    )
    assert float(featurizer.weights().sum().detach()) == pytest.approx(1.0)
    # Equal at the start: the plain mean over layers.
    torch.testing.assert_close(Featurizer(4).double()(hidden), hidden.mean(dim=1))


@torch.inference_mode()
def test_frames_weighted_then_pooled_give_the_cached_way() -> None:
    model = small_model()
    assert model.speech is not None
    assert model.featurizer is not None
    model.featurizer.layer_weights.copy_(torch.tensor([0.3, -1.0, 2.0]))
    batch = collate(TEXTS, WAVES, None, model, RATE_HZ)
    assert batch.waves is not None
    assert batch.lengths is not None
    hidden, mask = model.speech(batch.waves, batch.lengths)
    weighted = model.featurizer(hidden)
    slow = torch.stack([row[valid].mean(dim=0) for row, valid in zip(weighted, mask, strict=True)])
    fast = model.featurizer(model.speech.pooled(batch.waves, batch.lengths))
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("modality", list(Modality))
def test_each_modality_uses_its_own_towers(modality: Modality) -> None:
    model = small_model(modality)
    width = {Modality.BOTH: 48, Modality.SPEECH: 32, Modality.TEXT: 16}[modality]
    assert (model.modality, model.classifier.in_features) == (modality, width)
    batch = collate(TEXTS, WAVES, None, model, RATE_HZ)
    encoded = model.encode(batch)
    assert (encoded.speech is None) == (modality is Modality.TEXT)
    assert (encoded.text is None) == (modality is Modality.SPEECH)
    logits = model.classify(encoded)
    assert logits.shape == (3, 4)
    torch.testing.assert_close(logits, model(batch), rtol=0, atol=0)
    other_words = model(collate(["不"] * 3, WAVES, None, model, RATE_HZ))
    other_sound = model(collate(TEXTS, [wave[::-1] for wave in WAVES], None, model, RATE_HZ))
    assert torch.equal(logits, other_words) == (modality is Modality.SPEECH)
    assert torch.equal(logits, other_sound) == (modality is Modality.TEXT)


@torch.inference_mode()
def test_the_scale_of_a_tower_does_not_count() -> None:
    model = small_model()
    encoded = model.encode(collate(TEXTS, WAVES, None, model, RATE_HZ))
    assert encoded.speech is not None
    louder = Encoded(encoded.speech * 50 + 3, encoded.text)
    torch.testing.assert_close(
        model.classify(louder), model.classify(encoded), rtol=1e-3, atol=1e-4
    )


def test_every_trained_parameter_is_the_encoders_or_the_heads() -> None:
    model = small_model()
    assert model.speech is not None
    model.speech.freeze_front()
    model.train()
    model(collate(TEXTS, WAVES, None, model, RATE_HZ)).square().sum().backward()
    with_gradient = {id(p) for p in model.parameters() if p.grad is not None}
    encoders = {id(p) for p in model.encoder_parameters()}
    head = {id(p) for p in model.head_parameters()}
    assert not encoders & head
    assert encoders | head == with_gradient


def test_frozen_encoders_learn_nothing_and_stay_still_under_train() -> None:
    model = small_model()
    model.set_encoders_frozen(True)
    model.train()
    batch = collate(TEXTS, WAVES, None, model, RATE_HZ)
    first, second = model.encode(batch), model.encode(batch)
    assert first.speech is not None
    assert second.speech is not None
    assert torch.equal(first.speech, second.speech)
    assert not first.speech.requires_grad
    model(batch).sum().backward()
    assert all(p.grad is None for p in model.encoder_parameters())
    assert all(p.grad is not None for p in model.head_parameters())
    model.set_encoders_frozen(False)
    assert model.speech is not None
    assert model.speech.model.training


def test_the_same_seed_gives_the_same_weights_and_takes_no_random_numbers() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = small_model(seed=1), small_model(seed=1), small_model(seed=2)
    assert torch.equal(torch.rand(3), expected)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_collate_cuts_to_the_longest_clip_and_numbers_the_labels() -> None:
    model = small_model()
    batch = collate(TEXTS, WAVES, ["green", "red", "blue"], model, RATE_HZ)
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [8_000, 16_000, 3_000]
    assert batch.waves is not None
    assert batch.waves.shape == (3, 16_000)
    assert batch.labels is not None
    assert batch.labels.tolist() == [3, 0, 1]
    assert torch.equal(batch.waves[2, :3_000], torch.from_numpy(WAVES[2]))
    assert not batch.waves[2, 3_000:].any()


@torch.inference_mode()
def test_collate_brings_other_rates_to_the_models() -> None:
    model = small_model(Modality.SPEECH)
    time_s = np.arange(48_000) / 16_000
    wave = np.sin(2 * np.pi * 200 * time_s).astype(np.float32) * np.float32(0.2)
    wide = collate([], [wave], None, model, 16_000)
    narrow = collate([], [wave[::2].copy()], None, model, 8_000)
    assert wide.lengths is not None
    assert wide.lengths.tolist() == [16_000], "3 s cut to 2 s"
    torch.testing.assert_close(model(wide), model(narrow), rtol=0.02, atol=0.02)


def test_wrong_batches_are_named() -> None:
    model = small_model()
    with pytest.raises(ModelError, match="label 'purple' is none of the model's: red, blue"):
        collate(TEXTS, WAVES, ["red", "purple", "red"], model, RATE_HZ)
    with pytest.raises(ModelError, match=r"texts .2., waves .3."):
        collate(TEXTS[:2], WAVES, None, model, RATE_HZ)
    with pytest.raises(ModelError, match="the batch needs waves"):
        model(Batch(None, None, {}))
    with pytest.raises(ModelError, match="at least two different names"):
        BimodalModel(model.speech, model.text, ("red", "red"), 0.1, 2.0)
    with pytest.raises(ModelError, match="needs a speech or a text encoder"):
        BimodalModel(None, None, LABELS, 0.1, 2.0)


def test_sizes_that_do_not_fit_are_named() -> None:
    config = ModelConfig(
        speech=SpeechEncoderConfig(small=SmallSpeechConfig(hidden_size=30, heads=4))
    )
    with pytest.raises(
        ModelError, match=r"speech.small.hidden_size 30 must be a multiple of heads"
    ):
        build_model(config, LABELS, TEXTS, RATE_HZ, 0)
    config = ModelConfig(speech=SpeechEncoderConfig(small=SmallSpeechConfig(conv_channels=20)))
    with pytest.raises(ModelError, match=r"conv_channels 20 must be a multiple of 3"):
        build_model(config, LABELS, TEXTS, RATE_HZ, 0)
