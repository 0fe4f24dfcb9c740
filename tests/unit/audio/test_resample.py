"""Rates change, time and pitch do not."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from persona_ray.audio.resample import resample


def sine(frequency_hz: float, rate_hz: int, seconds: float = 0.5) -> NDArray[np.float32]:
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    return np.asarray(0.5 * np.sin(2 * np.pi * frequency_hz * time_s), dtype=np.float32)


def test_equal_rates_return_the_input_itself() -> None:
    samples = sine(300, 8000)
    assert resample(samples, 8000, 8000) is samples


@pytest.mark.parametrize("to_hz", [8000, 16_000, 24_000])
@pytest.mark.parametrize("from_hz", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 44_101, 12_347])
def test_a_tone_stays_the_same_tone_at_the_same_time(from_hz: int, to_hz: int) -> None:
    edge = to_hz // 50
    for frequency_hz in (100.0, 1000.0, 3000.0):
        out = resample(sine(frequency_hz, from_hz), from_hz, to_hz)
        expected = sine(frequency_hz, to_hz)[: len(out)]
        np.testing.assert_allclose(
            out[edge : len(expected) - edge], expected[edge:-edge], atol=0.015
        )


def test_what_the_lower_rate_cannot_carry_is_removed_not_folded() -> None:
    for frequency_hz in (4400.0, 5000.0, 7000.0):
        out = resample(sine(frequency_hz, 16_000), 16_000, 8000)[200:-200]
        assert np.sqrt(np.mean(out**2)) < 0.5 / np.sqrt(2) * 10 ** (-50 / 20)


@settings(max_examples=12, deadline=None)
@given(
    length=st.integers(0, 5000),
    from_hz=st.integers(4000, 192_000),
    to_hz=st.sampled_from([8000, 16_000]),
)
def test_every_pair_of_rates_gives_the_length_it_should(
    length: int, from_hz: int, to_hz: int
) -> None:
    out = resample(np.ones((2, length), np.float32), from_hz, to_hz)
    assert out.shape == (2, -(-length * to_hz // from_hz))
    assert out.dtype == np.float32
    assert np.all(np.isfinite(out))


def test_rates_without_a_common_measure_stay_cheap() -> None:
    begin = time.perf_counter()
    resample(sine(500, 44_101, 20.0), 44_101, 8000)
    assert time.perf_counter() - begin < 10
