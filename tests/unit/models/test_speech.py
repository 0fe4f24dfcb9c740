"""Speech tower: which vectors it gives, and that padding never reaches them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from persona_ray.errors import EncoderError
from persona_ray.models.speech import SpeechEncoder
from tests.unit.models.checkpoints import FAMILIES, LEAKY, Family, padded, speech_checkpoint, waves

LENGTHS = (16_000, 9_731, 3_200, 401)


@pytest.fixture(params=[*FAMILIES, LEAKY], ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


@pytest.fixture
def encoder(family: Family, tmp_path: Path) -> SpeechEncoder:
    loaded = SpeechEncoder.load(str(speech_checkpoint(tmp_path, family)))
    loaded.eval()
    return loaded


@torch.inference_mode()
def test_a_clip_alone_and_in_a_padded_batch_gives_the_same_vectors(encoder: SpeechEncoder) -> None:
    clips = waves(*LENGTHS)
    together = encoder.pooled(*padded(clips, beyond=3.0))
    alone = torch.cat([encoder.pooled(*padded([clip])) for clip in clips])
    assert together.shape == (4, 3, 24)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_hidden_are_the_block_outputs_and_nothing_else(encoder: SpeechEncoder) -> None:
    seen: list[Tensor] = []
    for block in encoder.model.encoder.layers:
        block.register_forward_hook(
            lambda _block, _args, out: seen.append(out[0] if isinstance(out, tuple) else out)
        )
    hidden, mask = encoder(*padded(waves(9_731)))
    assert encoder.layers == hidden.shape[1] == len(seen) == 3
    for layer, output in enumerate(seen):
        torch.testing.assert_close(hidden[:, layer], output, rtol=0, atol=0)
    assert mask.all()
    assert hidden.shape[2] == encoder.frames(torch.tensor([9_731])).item() == 30


@torch.inference_mode()
def test_agrees_with_transformers_from_the_same_folder(
    encoder: SpeechEncoder, family: Family, tmp_path: Path
) -> None:
    from transformers import AutoFeatureExtractor, AutoModel

    clip = waves(9_731)[0]
    reference = AutoModel.from_pretrained(tmp_path).eval()
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    inputs = extractor(clip, sampling_rate=16_000, return_tensors="pt").input_values
    expected = reference(inputs, output_hidden_states=True)
    hidden, _ = encoder(*padded([clip]))
    # All but the last entry mean the same in every version of transformers: entry 0 is the
    # embedding, entry i the output of block i.
    for block in range(2):
        torch.testing.assert_close(
            hidden[:, block], expected.hidden_states[block + 1], rtol=1e-3, atol=1e-4
        )
    last = hidden[:, -1]
    if family.stable:
        assert not torch.allclose(last, expected.last_hidden_state, atol=1e-2)
        last = encoder.model.encoder.layer_norm(last)
    torch.testing.assert_close(last, expected.last_hidden_state, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_pooled_is_the_mean_over_the_clips_own_frames(encoder: SpeechEncoder) -> None:
    batch, lengths = padded(waves(*LENGTHS))
    hidden, mask = encoder(batch, lengths)
    for row, frames in enumerate(encoder.frames(lengths).tolist()):
        assert mask[row].sum() == frames
        torch.testing.assert_close(
            encoder.pooled(batch, lengths)[row],
            hidden[row, :, :frames].mean(dim=1),
            rtol=1e-4,
            atol=1e-5,
        )


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1, 5, 399, 400])
def test_a_clip_shorter_than_a_frame_is_one_frame(encoder: SpeechEncoder, samples: int) -> None:
    assert encoder.min_samples == 400
    hidden, mask = encoder(*padded(waves(samples)))
    assert mask.tolist() == [[True]]
    assert torch.isfinite(hidden).all()
    both = encoder.pooled(*padded(waves(samples, 8_000), beyond=3.0))
    torch.testing.assert_close(both[:1], hidden.mean(dim=2), rtol=1e-4, atol=1e-5)


def test_training_mode_drops_no_layer_and_masks_nothing(tmp_path: Path) -> None:
    quiet = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    folder = speech_checkpoint(tmp_path, FAMILIES[0], **quiet, feat_proj_dropout=0.0)
    encoder = SpeechEncoder.load(str(folder))
    inputs = padded(waves(*LENGTHS))
    expected = encoder.eval().pooled(*inputs)
    encoder.train()
    for _ in range(3):
        torch.testing.assert_close(encoder.pooled(*inputs), expected, rtol=0, atol=0)


def test_frozen_means_no_gradients_and_eval_mode(tmp_path: Path) -> None:
    encoder = SpeechEncoder.load(str(speech_checkpoint(tmp_path, FAMILIES[0])))
    encoder.set_frozen(True)
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not encoder.pooled(*padded(waves(4_000))).requires_grad
    encoder.freeze_front()
    encoder.set_frozen(False)
    encoder.train()
    assert encoder.model.encoder.layers[0].training
    encoder.pooled(*padded(waves(4_000, 9_000))).sum().backward()
    got = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert got == {
        name
        for name, _ in encoder.named_parameters()
        if "feature_extractor" not in name and "masked_spec_embed" not in name
    }
    assert {id(parameter) for parameter in encoder.trainable()} == {
        id(parameter) for name, parameter in encoder.named_parameters() if name in got
    }


def test_gradients_do_not_depend_on_padding_either(tmp_path: Path) -> None:
    encoder = SpeechEncoder.load(str(speech_checkpoint(tmp_path, FAMILIES[0]))).eval()
    short, long = waves(4_000, 16_000)

    def gradient(clips: list[np.ndarray]) -> Tensor:
        encoder.zero_grad()
        encoder.pooled(*padded(clips))[0].square().sum().backward()
        found = encoder.model.feature_extractor.conv_layers[0].conv.weight.grad
        assert found is not None
        return found.clone()

    torch.testing.assert_close(gradient([short, long]), gradient([short]), rtol=1e-3, atol=1e-5)


def test_saved_and_loaded_again_it_is_the_same(tmp_path: Path) -> None:
    encoder = SpeechEncoder.load(str(speech_checkpoint(tmp_path / "a", FAMILIES[0]))).eval()
    encoder.save(tmp_path / "b")
    again = SpeechEncoder.load(str(tmp_path / "b")).eval()
    inputs = padded(waves(*LENGTHS))
    assert torch.equal(encoder.pooled(*inputs), again.pooled(*inputs))
    assert again.sample_rate_hz == 16_000


def test_a_folder_that_is_no_speech_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"model.speech.path '.*nowhere' cannot be loaded"):
        SpeechEncoder.load(str(tmp_path / "nowhere"))
    folder = speech_checkpoint(tmp_path / "torn", FAMILIES[0])
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(EncoderError, match="torn"):
        SpeechEncoder.load(str(folder))


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = speech_checkpoint(tmp_path, FAMILIES[0])
    weights = load_file(folder / "model.safetensors")
    name = "encoder.layers.1.feed_forward.output_dense.weight"
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=f"lacks 1 weights of a HubertModel .'{name}'"):
        SpeechEncoder.load(str(folder))


def test_every_trained_weight_takes_part(encoder: SpeechEncoder) -> None:
    """Otherwise replicas would wait for its gradient."""
    encoder.set_frozen(False)
    encoder.pooled(*padded(waves(4_000, 3_000))).square().sum().backward()
    trained = {id(parameter) for parameter in encoder.trainable()}
    idle = [
        name
        for name, parameter in encoder.named_parameters()
        if id(parameter) in trained and parameter.grad is None
    ]
    assert idle == []
