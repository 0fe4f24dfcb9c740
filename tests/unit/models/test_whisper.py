"""Whisper's encoder as a tower: transformers' numbers, clip by clip, whatever the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from persona_ray.asr.weights import WHISPER_BASE_SHA256
from persona_ray.errors import EncoderError, ModelError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.bundle import contract_of, load_bundle, save_bundle
from persona_ray.models.load import load_speech_tower
from persona_ray.models.log_mel import LogMel
from persona_ray.models.manifest import read_contract
from persona_ray.models.speech import SpeechEncoder
from persona_ray.models.whisper import REFERENCE, WHISPER_BASE, WhisperTower
from tests.unit.models.checkpoints import FAMILIES, padded, speech_checkpoint, waves
from tests.unit.models.whispers import BLOCKS, WIDTH, tiny_encoder

RATE_HZ = 16_000
LENGTHS = (48_000, 31_111, 9_731, 3_200, 401)


def extractor() -> Any:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor()


@pytest.fixture
def tower() -> WhisperTower:
    made = WhisperTower(tiny_encoder(), extractor())
    made.eval()
    return made


@pytest.fixture(scope="module")
def base() -> WhisperTower:
    """The real one, from the packages that the product depends on."""
    made = WhisperTower.whisper_base()
    made.eval()
    return made


def test_log_mel_is_that_of_transformers_for_each_clip() -> None:
    made, reference = LogMel(extractor()), extractor()
    # The quiet clip's floor lies far below the loud one's.
    clips = [*waves(*LENGTHS), 0.001 * waves(20000, seed=4)[0]]
    level, own = made(*padded(clips, beyond=3.0))
    for row, clip in enumerate(clips):
        expected = reference(clip, sampling_rate=RATE_HZ, padding=False, return_tensors="pt")
        frames = int(own[row].sum())
        assert frames == len(clip) // 160 == expected.input_features.shape[2]
        torch.testing.assert_close(
            level[row, :, :frames], expected.input_features[0], rtol=1e-4, atol=1e-4
        )
        assert (level[row, :, frames:] == 0).all()


@torch.inference_mode()
def test_a_clip_alone_and_in_a_padded_batch_gives_the_same_vectors(tower: WhisperTower) -> None:
    clips = waves(*LENGTHS)
    together = tower.pooled(*padded(clips, beyond=3.0))
    alone = torch.cat([tower.pooled(*padded([clip])) for clip in clips])
    assert together.shape == (5, BLOCKS, WIDTH)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_gradients_do_not_depend_on_padding_either(tower: WhisperTower) -> None:
    clips = waves(*LENGTHS)
    tower.pooled(*padded(clips, beyond=3.0)).square().sum().backward()
    together = {n: p.grad.clone() for n, p in tower.named_parameters() if p.grad is not None}
    tower.zero_grad()
    for clip in clips:
        tower.pooled(*padded([clip])).square().sum().backward()
    for name, gradient in together.items():
        alone = tower.get_parameter(name).grad
        torch.testing.assert_close(gradient, alone, rtol=1e-3, atol=1e-3, msg=name)


@torch.inference_mode()
def test_blocks_of_a_clip_as_long_as_the_window_are_those_of_transformers(
    tower: WhisperTower,
) -> None:
    clip = waves(4 * RATE_HZ)[0]
    inputs = extractor()(clip, sampling_rate=RATE_HZ, padding=False, return_tensors="pt")
    expected = tower.model(inputs.input_features, output_hidden_states=True)
    hidden, mask = tower(*padded([clip]))
    assert hidden.shape == (1, BLOCKS, 200, WIDTH)
    assert mask.all()
    for block in range(BLOCKS - 1):
        torch.testing.assert_close(
            hidden[:, block], expected.hidden_states[block + 1], rtol=1e-4, atol=1e-4
        )
    last = tower.model.layer_norm(hidden[:, -1])
    torch.testing.assert_close(last, expected.last_hidden_state, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(hidden[:, -1], expected.last_hidden_state, atol=1e-2)


@torch.inference_mode()
def test_the_real_encoder_says_what_the_recogniser_hears(
    base: WhisperTower, shared_data: Path
) -> None:
    """CTranslate2 runs the same file in float32 on the same 30-second window."""
    import ctranslate2
    import soundfile

    from persona_ray.asr.weights import whisper_base_dir

    samples, _ = soundfile.read(shared_data / "librispeech/1688/00.flac", dtype="float32")
    window = np.zeros(30 * RATE_HZ, np.float32)
    window[: len(samples)] = samples[: len(window)]
    inputs = extractor()(window, sampling_rate=RATE_HZ, return_tensors="np").input_features
    recogniser = ctranslate2.models.Whisper(
        str(whisper_base_dir()), compute_type="float32", intra_threads=1
    )
    encoded = recogniser.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(inputs)))
    hidden, _ = base(*padded([window]))
    ours = base.model.layer_norm(hidden[:, -1]).numpy()
    assert (base.layers, base.features, base.longest_s) == (6, 512, 30.0)
    assert np.abs(ours - np.array(encoded)).max() < 0.02 < 1 < np.abs(ours).max()


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1, 5, 399, 400])
def test_a_clip_shorter_than_a_window_is_one_frame(tower: WhisperTower, samples: int) -> None:
    hidden, mask = tower(*padded(waves(samples)))
    assert mask.tolist() == [[True]]
    assert torch.isfinite(hidden).all()
    both = tower.pooled(*padded(waves(samples, 8_000), beyond=3.0))
    torch.testing.assert_close(both[:1], hidden.mean(dim=2), rtol=1e-4, atol=1e-4)


def test_frames_are_counted_as_they_come(tower: WhisperTower) -> None:
    lengths = torch.arange(1, 5_000, 37)
    for length, frames in zip(lengths.tolist(), tower.frames(lengths).tolist(), strict=True):
        assert tower(torch.zeros(1, length), torch.tensor([length]))[0].shape[2] == frames


def test_what_it_cannot_hear_is_refused(tower: WhisperTower) -> None:
    with pytest.raises(ModelError, match="max_clip_s to at most 4"):
        tower(*padded(waves(5 * RATE_HZ)))
    with pytest.raises(ModelError, match=r"max_clip_s 4\.1 > 4 s"):
        BimodalModel(tower, None, ("a", "b"), 0.1, 4.1)


def test_training_drops_no_layer_and_trains_what_the_vectors_depend_on(tower: WhisperTower) -> None:
    inputs = padded(waves(9_000, 20_000))
    expected = tower.pooled(*inputs)
    tower.train()
    torch.testing.assert_close(tower.pooled(*inputs), expected, rtol=0, atol=0)
    for frozen_front in (False, True):
        if frozen_front:
            tower.freeze_front()
        tower.set_frozen(False)
        tower.zero_grad()
        tower.pooled(*inputs).square().sum().backward()
        got = {name for name, value in tower.named_parameters() if value.grad is not None}
        trainable = {id(parameter) for parameter in tower.trainable()}
        assert trainable == {id(tower.get_parameter(name)) for name in got}
        assert any("conv" in name for name in got) is not frozen_front
        assert not any(name.startswith(("model.embed", "model.layer_norm")) for name in got)
    tower.set_frozen(True)
    tower.train()
    assert not any(module.training for module in tower.modules())
    assert not tower.pooled(*inputs).requires_grad


@torch.inference_mode()
def test_others_can_load_the_trained_one(tower: WhisperTower, tmp_path: Path) -> None:
    from transformers import AutoFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    tower.save(tmp_path)
    again = load_speech_tower(str(tmp_path))
    assert isinstance(again, WhisperTower)
    inputs = padded(waves(*LENGTHS))
    assert torch.equal(again.eval().pooled(*inputs), tower.pooled(*inputs))
    assert again.fingerprint() == tower.fingerprint()
    _, info = WhisperEncoder.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert AutoFeatureExtractor.from_pretrained(tmp_path).sampling_rate == RATE_HZ


def test_the_encoder_of_a_whole_whisper_is_taken(tmp_path: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    encoder = tiny_encoder()
    whole = WhisperForConditionalGeneration(encoder.config)
    whole.model.encoder.load_state_dict(encoder.state_dict())
    whole.save_pretrained(tmp_path)
    extractor().save_pretrained(tmp_path)
    found = load_speech_tower(str(tmp_path)).model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in encoder.state_dict().items())


def test_the_family_decides_the_tower(tmp_path: Path, base: WhisperTower) -> None:
    hubert = load_speech_tower(str(speech_checkpoint(tmp_path, FAMILIES[0])))
    assert isinstance(hubert, SpeechEncoder)
    assert (hubert.masked_units, base.masked_units) == (True, False)
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_speech_tower(str(tmp_path / "nowhere"))


def test_published_weights_are_named_in_the_bundle_and_not_shipped(
    base: WhisperTower, tmp_path: Path
) -> None:
    model = BimodalModel(base, None, ("a", "b"), 0.1, 12.0).eval()
    path = tmp_path / "bundle"
    save_bundle(model, path, contract_of(model, "", {}, {}))
    assert sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) < 100_000
    speech = read_contract(path).speech
    assert speech is not None
    assert (speech.published, speech.input) == (WHISPER_BASE_SHA256, "log_mel")
    again, _ = load_bundle(path)
    assert again.speech is not None
    assert again.speech.fingerprint() == base.fingerprint()
    assert isinstance(load_speech_tower(str(path / "speech")), WhisperTower)
    text = (path / "speech" / REFERENCE).read_text().replace(WHISPER_BASE_SHA256, "0" * 64)
    (path / "speech" / REFERENCE).write_text(text)
    with pytest.raises(EncoderError, match=r"SHA-256 000000000000…; known are 'whisper-base'"):
        load_speech_tower(str(path / "speech"))


def test_trained_weights_are_stored(tmp_path: Path) -> None:
    tower = load_speech_tower(WHISPER_BASE)
    model = BimodalModel(tower, None, ("a", "b"), 0.1, 12.0).eval()
    with torch.no_grad():
        tower.model.layers[5].fc2.bias[0] += 1e-3
    assert tower.published is None
    path = tmp_path / "bundle"
    save_bundle(model, path, contract_of(model, "", {}, {}))
    assert not (path / "speech" / REFERENCE).exists()
    again, contract = load_bundle(path)
    assert again.speech is not None
    assert again.speech.fingerprint() == tower.fingerprint()
    assert contract.speech is not None
    assert contract.speech.published is None
