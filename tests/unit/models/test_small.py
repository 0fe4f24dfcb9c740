"""The small speech encoder hears, before it has learned anything, what people differ in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from persona_ray.config.learning import SmallSpeechConfig
from persona_ray.models.front import bands_of, centres_hz
from persona_ray.models.small import small_speech_encoder
from persona_ray.models.speech import SpeechEncoder
from tests.unit.models.checkpoints import padded

RATE_HZ = 8_000


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    made = small_speech_encoder(SmallSpeechConfig(), RATE_HZ)
    made.eval()
    return made


def voice(
    rng: np.random.Generator, pitch_hz: float = 160, syllables_hz: float = 4, level_db: float = -25
) -> NDArray[np.float32]:
    """About two seconds of harmonics that swell with each syllable, over a little noise."""
    time_s = np.arange(int(RATE_HZ * rng.uniform(1.6, 2.4))) / RATE_HZ
    pitch = pitch_hz * rng.uniform(0.95, 1.05)
    harmonics: Any = sum(
        np.sin(2 * np.pi * pitch * k * time_s + rng.uniform(0, 6)) / k
        for k in range(1, int(3500 / pitch))
    )
    beat = syllables_hz * rng.uniform(0.95, 1.05)
    wave = harmonics * np.sin(np.pi * beat * time_s + rng.uniform(0, 3)) ** 2
    wave = wave / np.std(wave) * 10 ** (level_db / 20)
    return np.asarray(wave + 0.002 * rng.standard_normal(len(wave)), dtype=np.float32)


@pytest.mark.parametrize(
    ("what", "low", "high"),
    [("pitch_hz", 120.0, 210.0), ("syllables_hz", 3.0, 6.0), ("level_db", -36.0, -20.0)],
)
@torch.inference_mode()
def test_the_untrained_encoder_tells_voices_apart(
    encoder: SpeechEncoder, what: str, low: float, high: float
) -> None:
    """Half of the clips give each group's mean vector; the nearer mean names the other half."""
    rng = np.random.default_rng(3)
    groups = [
        encoder.pooled(*padded([voice(rng, **{what: value}) for _ in range(12)])).mean(dim=1)
        for value in (low, high)
    ]
    means = torch.stack([group[:6].mean(dim=0) for group in groups])
    for right, group in enumerate(groups):
        nearest = torch.cdist(group[6:], means).argmin(dim=1)
        assert (nearest == right).all(), what


@torch.inference_mode()
def test_a_tone_is_loudest_in_its_own_band(encoder: SpeechEncoder) -> None:
    layers = encoder.model.feature_extractor.conv_layers
    bands = bands_of(layers[0].conv.out_channels)
    time_s = torch.arange(4_000) / RATE_HZ
    for band, centre in list(enumerate(centres_hz(bands, RATE_HZ).tolist()))[2::5]:
        tone = 0.1 * torch.sin(2 * torch.pi * centre * time_s)
        envelopes = layers[1].conv(layers[0](tone[None, None]))[0, :bands]
        assert abs(int(envelopes.mean(dim=1).argmax()) - band) <= 1, f"{centre:.0f} Hz"
        # Three phases rectified leave little of the tone's own oscillation in its envelope.
        steady = envelopes[band, 2:-2]
        assert float(steady.std() / steady.mean()) < 0.2, f"{centre:.0f} Hz"


@torch.inference_mode()
def test_silence_gives_finite_vectors(encoder: SpeechEncoder) -> None:
    assert torch.isfinite(encoder.pooled(torch.zeros(1, RATE_HZ), torch.tensor([RATE_HZ]))).all()


def test_workers_with_other_threads_build_the_same_weights() -> None:
    before = torch.get_num_threads()
    made = set()
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            made.add(small_speech_encoder(SmallSpeechConfig(), RATE_HZ).fingerprint())
    finally:
        torch.set_num_threads(before)
    assert len(made) == 1


@pytest.mark.parametrize("rate_hz", [8_000, 16_000])
def test_frames_are_20_ms_at_any_rate(rate_hz: int) -> None:
    made = small_speech_encoder(SmallSpeechConfig(hidden_size=16, layers=1), rate_hz)
    one, two = made.frames(torch.tensor([5 * rate_hz, 6 * rate_hz])).tolist()
    assert two - one == 50
    assert made.sample_rate_hz == rate_hz


@torch.inference_mode()
def test_a_plain_hugging_face_folder_holds_all_of_it(
    encoder: SpeechEncoder, tmp_path: Path
) -> None:
    from transformers import AutoFeatureExtractor, AutoModel

    encoder.save(tmp_path)
    wave = voice(np.random.default_rng(1))
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    inputs = extractor(wave, sampling_rate=RATE_HZ, return_tensors="pt").input_values
    found = AutoModel.from_pretrained(tmp_path).eval()(inputs).last_hidden_state
    hidden, _ = encoder(*padded([wave]))
    torch.testing.assert_close(found, hidden[:, -1], rtol=1e-4, atol=1e-5)
