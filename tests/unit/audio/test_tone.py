"""Pitch and background of sounds whose pitch and background are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from persona_ray.audio.resample import resample
from persona_ray.audio.tone import level_range_db, pitch_hz
from tests.unit.corpus.calls import RATE_HZ, voice

Wave = NDArray[np.float32]


def in_noise(speech: Wave, snr_db: float, seed: int = 0) -> Wave:
    """`speech` with pauses after each half second, under white noise."""
    pause = np.zeros(RATE_HZ // 4, np.float32)
    parts = np.split(speech, range(RATE_HZ // 2, len(speech), RATE_HZ // 2))
    paused = np.concatenate([piece for part in parts for piece in (part, pause)])
    noise = np.random.default_rng(seed).standard_normal(len(paused))
    level = np.sqrt(np.mean(speech**2)) * 10 ** (-snr_db / 20)
    return (paused + level * noise).astype(np.float32)


@pytest.mark.parametrize("hz", [85, 110, 150, 200, 260, 330])
@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_the_pitch_of_a_voice_is_found(hz: float, rate_hz: int) -> None:
    samples = voice(3.0, hz)
    if rate_hz != RATE_HZ:
        samples = resample(samples, RATE_HZ, rate_hz)
    assert pitch_hz(samples, rate_hz) == pytest.approx(hz, rel=0.08)


@pytest.mark.parametrize("hz", [110, 220])
def test_neither_noise_nor_level_nor_the_telephone_band_moves_the_pitch(hz: float) -> None:
    samples = voice(3.0, hz)
    spectrum = np.fft.rfft(samples)
    spectrum[: int(300 * 3.0)] = 0
    band = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    for changed in (in_noise(samples, 15), 0.01 * samples, band):
        assert pitch_hz(changed.astype(np.float32), RATE_HZ) == pytest.approx(hz, rel=0.1)


def test_what_is_no_voice_has_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(3 * RATE_HZ).astype(np.float32)
    assert pitch_hz(0.1 * noise, RATE_HZ) is None
    assert pitch_hz(np.zeros(RATE_HZ, np.float32), RATE_HZ) is None
    assert pitch_hz(np.zeros(10, np.float32), RATE_HZ) is None


def test_the_level_range_follows_the_noise() -> None:
    speech = voice(4.0)
    ranges = [level_range_db(in_noise(speech, snr), RATE_HZ) or 0.0 for snr in (0, 10, 20, 30, 60)]
    assert ranges == sorted(ranges)
    for snr, found in zip((10, 20, 30), ranges[1:4], strict=True):
        assert found == pytest.approx(snr, abs=5)
    loud = level_range_db(in_noise(speech, 20), RATE_HZ)
    quiet = level_range_db((0.05 * in_noise(speech, 20)).astype(np.float32), RATE_HZ)
    assert loud == pytest.approx(quiet, abs=0.1)


def test_digital_silence_is_quiet_not_infinitely_so_and_a_blink_says_nothing() -> None:
    silent = np.zeros(RATE_HZ, np.float32)
    assert level_range_db(silent, RATE_HZ) == 0.0
    half = np.concatenate([silent, voice(1.0)])
    found = level_range_db(half, RATE_HZ)
    assert found is not None
    assert 60 < found < 101
    assert level_range_db(silent[: RATE_HZ // 10], RATE_HZ) is None
