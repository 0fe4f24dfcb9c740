"""G.711 as two other decoders have it."""

from __future__ import annotations

import audioop
import io
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from persona_ray.audio.g711 import decode_alaw, decode_mulaw, encode_alaw, encode_mulaw

EVERY_CODE = bytes(range(256))


@pytest.mark.parametrize(("decode", "subtype"), [(decode_mulaw, "ULAW"), (decode_alaw, "ALAW")])
def test_every_code_is_what_libsndfile_and_audioop_say(
    decode: Callable[[bytes], NDArray[np.float32]], subtype: str
) -> None:
    found = decode(EVERY_CODE)
    expected, _ = soundfile.read(
        io.BytesIO(EVERY_CODE),
        channels=1,
        samplerate=8000,
        format="RAW",
        subtype=subtype,
        dtype="float32",
    )
    np.testing.assert_array_equal(found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linear = (audioop.ulaw2lin if subtype == "ULAW" else audioop.alaw2lin)(EVERY_CODE, 2)
    np.testing.assert_array_equal(found * 32_768, np.frombuffer(linear, np.int16))


@pytest.mark.parametrize(
    ("decode", "encode"), [(decode_mulaw, encode_mulaw), (decode_alaw, encode_alaw)]
)
def test_what_is_encoded_comes_back_and_is_the_nearest(
    decode: Callable[[bytes], NDArray[np.float32]], encode: Callable[[NDArray[np.float32]], bytes]
) -> None:
    steps = decode(EVERY_CODE)
    np.testing.assert_array_equal(decode(encode(steps)), steps)
    sound = np.random.default_rng(0).uniform(-1.1, 1.1, 2000).astype(np.float32)
    error = np.abs(decode(encode(sound)) - sound)
    np.testing.assert_allclose(error, np.abs(sound[:, None] - steps).min(axis=1), atol=1e-7)
