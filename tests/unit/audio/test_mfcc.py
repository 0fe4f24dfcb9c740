"""MFCC on the grid of an encoder: torchaudio's numbers, one frame for each of the encoder's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.audio.frames import FrameGrid, heard
from persona_ray.audio.mfcc import FEATURES, mfcc_features
from persona_ray.config.learning import SmallSpeechConfig
from persona_ray.models.small import small_speech_encoder
from persona_ray.models.speech import SpeechEncoder
from persona_ray.objectives.speech_start import grid_of
from tests.unit.audio.sounds import stereo
from tests.unit.models.checkpoints import FAMILIES, speech_checkpoint

HUBERT = FrameGrid(16_000, 400, 320)


def encoders(folder: Path) -> list[SpeechEncoder]:
    small = SmallSpeechConfig(hidden_size=16, layers=1, heads=2, conv_channels=24)
    return [
        SpeechEncoder.load(str(speech_checkpoint(folder, FAMILIES[0]))),
        small_speech_encoder(small, 8_000),
        small_speech_encoder(small, 11_025),
    ]


def test_frames_are_those_of_the_encoder_for_every_length(tmp_path: Path) -> None:
    lengths = [*range(1, 3_000), 15_999, 16_000, 16_001, 95_999, 192_000]
    for encoder in encoders(tmp_path):
        grid = grid_of(encoder)
        expected = encoder.frames(torch.tensor(lengths)).tolist()
        assert [grid.frames(length) for length in lengths] == expected
        for length, frames in list(zip(lengths, expected, strict=True))[::331]:
            assert grid.samples(frames) <= max(length, grid.window) < grid.samples(frames + 1)
            made = mfcc_features(np.zeros(length, dtype=np.float32), grid, 4_000)
            assert made.shape == (frames, FEATURES)
            assert np.isfinite(made).all()


@settings(deadline=None)
@given(
    window=st.integers(100, 2_000),
    stride=st.integers(20, 600),
    samples=st.integers(1, 9_000),
    rate_hz=st.sampled_from([8_000, 11_025, 16_000]),
)
def test_there_is_one_row_for_each_frame_of_any_grid(
    window: int, stride: int, samples: int, rate_hz: int
) -> None:
    grid = FrameGrid(rate_hz, window, stride)
    made = mfcc_features(np.ones(samples, dtype=np.float32), grid, rate_hz / 2)
    assert made.shape == (grid.frames(samples), FEATURES)


def test_the_numbers_are_torchaudios() -> None:
    """HuBERT's frames see 25 ms every 20 ms: exactly Kaldi's windows at that step."""
    from torchaudio.compliance.kaldi import mfcc
    from torchaudio.functional import compute_deltas

    wave = stereo(1.0, 16_000)[0]
    expected = mfcc(torch.from_numpy(wave)[None], frame_shift=20.0)
    made = torch.from_numpy(mfcc_features(wave, HUBERT, 8_000))
    torch.testing.assert_close(made[:, :13], expected, rtol=1e-4, atol=1e-4)
    rise = compute_deltas(expected.T).T
    torch.testing.assert_close(made[:, 13:26], rise, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("window", [200, 400, 672, 1_001])
def test_windows_stand_in_the_middle_of_the_frames(window: int) -> None:
    """A click in the middle of what frame 9 sees is loudest there."""
    grid = FrameGrid(8_000, window, 160)
    wave = np.random.default_rng(0).normal(0, 1e-4, 6_000).astype(np.float32)
    wave[9 * 160 + window // 2] = 1.0
    assert mfcc_features(wave, grid, 4_000)[:, 0].argmax() == 9


def test_bands_end_where_the_line_ends() -> None:
    """Speech from an 8 kHz line sounds the same whatever its empty upper half holds."""
    low = stereo(1.0, 8_000)[0]
    wide = heard(low, 8_000, 16_000, 12.0)
    hiss = np.random.default_rng(0).standard_normal(len(wide)).astype(np.float32)
    spectrum = np.fft.rfft(hiss)
    spectrum[: int(len(spectrum) * 5_000 / 8_000)] = 0
    hissing = wide + 0.001 * np.fft.irfft(spectrum, len(wide)).astype(np.float32)
    narrow = [mfcc_features(wave, HUBERT, 4_000)[:, :13] for wave in (wide, hissing)]
    full = [mfcc_features(wave, HUBERT, 8_000)[:, :13] for wave in (wide, hissing)]
    assert np.abs(narrow[0] - narrow[1]).mean() < 0.05 * np.abs(full[0] - full[1]).mean()


@settings(deadline=None, max_examples=30)
@given(seconds=st.floats(0.01, 3.0), longest_s=st.floats(0.5, 2.0))
def test_what_is_heard_is_cut_and_resampled(seconds: float, longest_s: float) -> None:
    samples = np.zeros(int(seconds * 8_000), dtype=np.float32)
    assert len(heard(samples, 8_000, 16_000, longest_s)) == min(
        2 * len(samples), int(longest_s * 16_000)
    )
    assert len(heard(samples, 8_000, 8_000, longest_s)) == min(len(samples), int(longest_s * 8_000))
