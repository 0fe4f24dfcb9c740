"""Speech is found where it is; the rules are silero's own."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from persona_ray.audio.decode import read_audio
from persona_ray.audio.resample import resample
from persona_ray.audio.vad import VoiceActivity, speech_spans
from persona_ray.config.corpus import VadConfig

FRAME_S = 0.032


@pytest.fixture(scope="module")
def vad() -> VoiceActivity:
    return VoiceActivity(VadConfig())


@pytest.fixture(scope="module")
def sentence(shared_data: Path) -> NDArray[np.float32]:
    """Human speech (n,) at 8 kHz."""
    audio = read_audio("SSB00160485.flac", str(shared_data / "aishell3"))
    return resample(audio.samples[0], audio.sample_rate_hz, 8000)


@settings(max_examples=150, deadline=None)
@given(
    probabilities=st.lists(
        st.tuples(st.sampled_from([0.02, 0.4, 0.6, 0.97]), st.integers(1, 12)), max_size=30
    ),
    threshold=st.sampled_from([0.3, 0.5, 0.8]),
    min_speech_ms=st.sampled_from([0, 100, 250]),
    min_silence_ms=st.sampled_from([0, 100, 300]),
    pad_ms=st.sampled_from([0, 32, 160]),
)
def test_spans_are_those_of_silero(
    probabilities: list[tuple[float, int]],
    threshold: float,
    min_speech_ms: int,
    min_silence_ms: int,
    pad_ms: int,
) -> None:
    import torch

    threads = torch.get_num_threads()
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    torch.set_num_threads(threads)
    frames = [value for value, times in probabilities for _ in range(times)]
    expected = get_speech_timestamps_from_probs(
        frames,
        sampling_rate=8000,
        threshold=threshold,
        min_speech_duration_ms=min_speech_ms,
        min_silence_duration_ms=min_silence_ms,
        speech_pad_ms=pad_ms,
        audio_length_samples=256 * len(frames),
    )
    found = speech_spans(
        np.array(frames, np.float32),
        frame_s=FRAME_S,
        duration_s=FRAME_S * len(frames),
        config=VadConfig(
            threshold=threshold,
            min_speech_s=min_speech_ms / 1000,
            min_silence_s=min_silence_ms / 1000,
            pad_s=pad_ms / 1000,
        ),
    )
    np.testing.assert_allclose(
        [(span.start_s, span.end_s) for span in found],
        [(item["start"] / 8000, item["end"] / 8000) for item in expected],
        atol=1.01 / 8000,
    )


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
def test_probabilities_are_those_of_the_package(
    vad: VoiceActivity, sentence: NDArray[np.float32], rate_hz: int
) -> None:
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)
    samples = resample(sentence, 8000, rate_hz)[: rate_hz * 2]
    width = 256 * rate_hz // 8000
    model = load_silero_vad(onnx=True)
    model.reset_states()
    samples = samples[: len(samples) // width * width]
    expected = [
        model(torch.from_numpy(part.copy()), rate_hz).item() for part in samples.reshape(-1, width)
    ]
    np.testing.assert_allclose(vad.probabilities(samples, rate_hz), expected, atol=1e-5)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 44_100])
def test_speech_between_silences_is_found_at_any_rate(
    vad: VoiceActivity, sentence: NDArray[np.float32], rate_hz: int
) -> None:
    second = np.zeros(8000, np.float32)
    call = np.concatenate([second, second, sentence, second, second, second, sentence, second])
    length_s = len(sentence) / 8000
    spans = vad.speech(resample(call, 8000, rate_hz), rate_hz)
    inside = [(2.0, 2.0 + length_s), (5.0 + length_s, 5.0 + 2 * length_s)]
    assert spans
    for span in spans:
        assert any(a - 0.1 <= span.start_s and span.end_s <= b + 0.15 for a, b in inside)
    for a, b in inside:
        covered = sum(
            min(b, span.end_s) - max(a, span.start_s)
            for span in spans
            if span.start_s < b and span.end_s > a
        )
        assert covered > 0.6 * length_s
    assert all(one.end_s <= two.start_s for one, two in pairwise(spans))


def test_the_network_remembers_nothing_between_calls(
    vad: VoiceActivity, sentence: NDArray[np.float32]
) -> None:
    first = vad.speech(sentence, 8000)
    vad.speech(np.concatenate([sentence, sentence]), 8000)
    assert vad.speech(sentence, 8000) == first
    assert pickle.loads(pickle.dumps(vad)).speech(sentence, 8000) == first


@pytest.mark.parametrize("level", [0.0, 0.003, 0.1])
def test_silence_and_noise_are_no_speech(vad: VoiceActivity, level: float) -> None:
    noise = level * np.random.default_rng(0).standard_normal(8000 * 8)
    assert vad.speech(noise.astype(np.float32), 8000) == ()


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257])
def test_very_short_sound_is_taken(vad: VoiceActivity, length: int) -> None:
    assert vad.speech(np.zeros(length, np.float32), 8000) == ()


def test_importing_it_leaves_the_threads_of_torch_alone() -> None:
    import subprocess
    import sys

    code = (
        "import numpy as np, sys\n"
        "from persona_ray.audio.vad import VoiceActivity\n"
        "from persona_ray.config.corpus import VadConfig\n"
        "VoiceActivity(VadConfig()).speech(np.zeros(8000, np.float32), 8000)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
