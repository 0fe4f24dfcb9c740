"""Sound in pieces gives what the whole gives: conversion of rates, voice activity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from persona_ray.audio.decode import read_audio
from persona_ray.audio.resample import StreamResampler, resample
from persona_ray.audio.vad import FRAME, VoiceActivity
from persona_ray.audio.vad_stream import VoiceStream
from persona_ray.config.corpus import VadConfig
from tests.conftest import REPOSITORY

VOICE = VoiceActivity(VadConfig())


def pieces(samples: NDArray[np.float32], cuts: list[int]) -> list[NDArray[np.float32]]:
    return np.split(samples, sorted({cut % (len(samples) + 1) for cut in cuts}))


@settings(max_examples=40)
@given(
    rates=st.sampled_from(
        [(8000, 8000), (16_000, 8000), (44_100, 8000), (11_025, 8000), (8000, 16_000), (9999, 8000)]
    ),
    length=st.integers(0, 6000),
    cuts=st.lists(st.integers(0, 6000), max_size=8),
    start=st.integers(0, 3000),
)
def test_converted_pieces_are_the_converted_whole(
    rates: tuple[int, int], length: int, cuts: list[int], start: int
) -> None:
    sound = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    whole = resample(sound, *rates)
    stream = StreamResampler(*rates)
    found = [stream.push(piece) for piece in pieces(sound, cuts)]
    np.testing.assert_allclose(np.concatenate([*found, stream.finish()]), whole, atol=2e-6)

    later = StreamResampler(*rates, start=min(start, length))
    first = later.position
    found = [later.push(piece) for piece in pieces(sound[min(start, length) :], cuts)]
    rest = np.concatenate([*found, later.finish()])
    np.testing.assert_allclose(rest, whole[first : first + len(rest)], atol=2e-6)
    assert first + len(rest) >= len(whole)


@pytest.fixture(scope="module")
def call() -> NDArray[np.float32]:
    """Six seconds of a call (n,) at 8 kHz in which somebody begins to speak."""
    audio = read_audio("K00046.ogg", str(REPOSITORY / "demo/archive/audio/2026-02"))
    return np.ascontiguousarray(audio.samples[1, 8000 * 4 : 8000 * 10])


@settings(max_examples=25)
@given(
    rate_hz=st.sampled_from([8000, 16_000]),
    length=st.integers(0, 20_000),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
    frames=st.integers(0, 30),
)
def test_voice_activity_of_pieces_is_that_of_the_whole(
    call: NDArray[np.float32], rate_hz: int, length: int, cuts: list[int], frames: int
) -> None:
    sound = call[:length]
    whole = VOICE.probabilities(sound, rate_hz)
    stream = VoiceStream(VOICE, rate_hz)
    found, position, kept = [], 0, None
    for piece in pieces(sound, cuts):
        found.append(stream.push(piece, position))
        position += len(piece)
        if stream.frames <= frames:
            kept = stream.frames, stream.state
    np.testing.assert_array_equal(np.concatenate([*found, stream.finish()]), whole)

    if kept is not None and kept[0] > 0:
        again = VoiceStream(VOICE, rate_hz, *kept)
        begin = max(0, again.wanted - 100)
        rest = [again.push(sound[begin:], begin), again.finish()]
        np.testing.assert_array_equal(np.concatenate(rest), whole[kept[0] :])


def test_sound_that_is_left_out_is_an_error() -> None:
    stream = VoiceStream(VOICE, 8000, frames=4, state=np.zeros((2, 1, 128), np.float32))
    assert stream.wanted == 4 * FRAME[8000] - 32
    with pytest.raises(ValueError, match="wants sample 992, not 993"):
        stream.push(np.zeros(100, np.float32), 993)
