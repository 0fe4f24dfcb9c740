"""What is stored comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from persona_ray.audio.coding import decode_flac, encode_flac
from persona_ray.errors import NotAudioError


@given(hnp.arrays(np.int16, st.integers(1, 500)), st.sampled_from([8000, 16_000, 44_100]))
def test_16_bit_sound_comes_back_bit_by_bit(values: np.ndarray, rate_hz: int) -> None:
    samples = values.astype(np.float32) / np.float32(32_768)
    back, rate = decode_flac(encode_flac(samples, rate_hz))
    assert rate == rate_hz
    np.testing.assert_array_equal(back, samples)


def test_overload_is_clipped_and_rounding_is_to_the_nearest_step() -> None:
    samples = np.array([1.5, -1.5, 0.4 / 32_768, 0.6 / 32_768], np.float32)
    back, _ = decode_flac(encode_flac(samples, 8000))
    np.testing.assert_array_equal(back * 32_768, [32_767, -32_768, 0, 1])


def test_other_bytes_are_refused() -> None:
    with pytest.raises(NotAudioError):
        decode_flac(b"not a clip")
