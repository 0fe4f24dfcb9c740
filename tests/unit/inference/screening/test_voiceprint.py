"""Voiceprints: GE2E against the package's own network, silence, weights not to be trusted."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from persona_ray.config.corpus import VadConfig
from persona_ray.config.screening import VoiceConfig
from persona_ray.errors import ConfigError, EngineUnavailableError
from persona_ray.inference.screening.ge2e import Ge2e, Ge2eEncoder, at_level
from persona_ray.inference.screening.records import NotEnoughSpeech
from persona_ray.inference.screening.voiceprint import (
    Voiceprint,
    Voiceprinter,
    build_encoder,
    build_voiceprinter,
)

Sound = NDArray[np.float32]


@pytest.fixture(scope="module")
def encoder() -> Ge2eEncoder:
    return Ge2eEncoder()


@pytest.fixture(scope="module")
def printer() -> Voiceprinter:
    return build_voiceprinter(VoiceConfig(), VadConfig())


def _tones(seconds: float, seed: int = 0) -> Sound:
    """Harmonics that come and go: sound with something in every mel band."""
    random = np.random.default_rng(seed)
    at = np.arange(round(seconds * 16_000)) / 16_000
    parts = [
        random.random() * np.sin(2 * np.pi * (150 * k * at + random.random())) for k in range(1, 40)
    ]
    swell = 1 + np.sin(2 * np.pi * 3 * at)
    noise = 0.05 * random.standard_normal(len(at))
    return (0.01 * (swell * np.sum(parts, axis=0) + noise)).astype(np.float32)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """Resemblyzer's encoder; its missing imports are stood in for, by transformers where used."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    def melspectrogram(y: Sound, sr: int, n_fft: int, hop_length: int, n_mels: int) -> Sound:
        filters = mel_filter_bank(n_fft // 2 + 1, n_mels, 0.0, sr / 2, sr, "slaney", "slaney")
        return spectrogram(
            y, window_function(n_fft, "hann"), n_fft, hop_length, power=2.0, pad_mode="constant",
            mel_filters=filters, mel_floor=0.0,
        )  # fmt: skip

    librosa = types.ModuleType("librosa")
    librosa.feature = types.SimpleNamespace(melspectrogram=melspectrogram)  # type: ignore[attr-defined]
    morphology = types.ModuleType("scipy.ndimage.morphology")
    morphology.binary_dilation = None  # type: ignore[attr-defined]
    for name, module in (
        ("librosa", librosa),
        ("webrtcvad", types.ModuleType("webrtcvad")),
        ("scipy.ndimage.morphology", morphology),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    before = set(sys.modules)
    yield pytest.importorskip("resemblyzer.voice_encoder")
    for name in set(sys.modules) - before:
        if name.startswith("resemblyzer"):
            del sys.modules[name]


@pytest.mark.parametrize("seconds", [0.5, 1.6, 2.0037, 3.0, 4.9])
def test_a_voiceprint_is_the_packages_own(
    encoder: Ge2eEncoder, package: types.ModuleType, seconds: float
) -> None:
    reference = package.VoiceEncoder("cpu", verbose=False)
    speech = _tones(seconds)
    wanted = reference.embed_utterance(at_level(speech))
    assert encoder.print_of(speech) == pytest.approx(wanted, abs=2e-5)


def test_a_voiceprint_does_not_know_how_loud_it_was(encoder: Ge2eEncoder) -> None:
    speech = _tones(2.0)
    loud, faint = encoder.print_of(speech), encoder.print_of(speech * np.float32(0.01))
    assert loud == pytest.approx(faint, abs=1e-4)
    assert np.linalg.norm(loud) == pytest.approx(1, abs=1e-5)


def test_silence_is_not_speech(printer: Voiceprinter) -> None:
    silence = np.zeros(80_000, np.float32)
    assert printer.hear(silence, 8000) == NotEnoughSpeech(0.0, 3.0)
    assert printer.hear(silence[:0], 8000) == NotEnoughSpeech(0.0, 3.0)


def test_silence_between_words_does_not_count_and_does_not_change_the_voice(
    printer: Voiceprinter, shared_data: Path
) -> None:
    samples, rate_hz = soundfile.read(shared_data / "librispeech/1688/00.flac", dtype="float32")
    speech = samples[: 6 * rate_hz]
    silence = np.zeros(10 * rate_hz, np.float32)
    short = printer.hear(np.concatenate([silence, speech[: 2 * rate_hz], silence]), rate_hz)
    assert isinstance(short, NotEnoughSpeech)
    assert 1.0 < short.speech_s <= 2.3
    alone, among = (
        printer.hear(speech, rate_hz),
        printer.hear(np.concatenate([silence, speech, silence]), rate_hz),
    )
    assert isinstance(alone, Voiceprint)
    assert isinstance(among, Voiceprint)
    assert among.speech_s == pytest.approx(alone.speech_s, abs=0.3)
    assert float(alone.vector @ among.vector) > 0.97


def test_weights_are_taken_from_safetensors_and_from_nothing_else(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = Ge2e().state_dict()
    path = tmp_path / "own.safetensors"
    save_file(tensors, path)
    own = Ge2eEncoder(str(path))
    assert own.name != Ge2eEncoder.name
    pickled = tmp_path / "own.pt"
    torch.save(tensors, pickled)
    with pytest.raises(EngineUnavailableError, match=r"own\.pt cannot be read as safetensors"):
        Ge2eEncoder(str(pickled))
    del tensors["linear.bias"]
    save_file(tensors, path)
    with pytest.raises(EngineUnavailableError, match=r"is not GE2E: linear\.bias"):
        Ge2eEncoder(str(path))


def test_another_package_of_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "resemblyzer"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "pretrained.pt").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "resemblyzer", raising=False)
    with pytest.raises(EngineUnavailableError, match=r"SHA-256 .* is pinned: pip install"):
        Ge2eEncoder()


class Fake:
    """An encoder of somebody else's package."""

    rate_hz, size = 16_000, 4

    def __init__(self, weights: str) -> None:
        self.name = f"fake/{weights}"

    def print_of(self, speech: Sound) -> Sound:
        del speech
        return np.array([1, 0, 0, 0], np.float32)


class NotOne:
    def __init__(self, weights: str) -> None: ...


def test_an_encoder_is_named_in_the_configuration() -> None:
    made = build_encoder(VoiceConfig(engine=f"{__name__}:Fake", weights="large"))
    assert made.name == "fake/large"


@pytest.mark.parametrize(
    ("engine", "error", "message"),
    [
        ("ecapa", ConfigError, "neither ge2e nor package.module:Name"),
        (f"{__name__}:NotOne", ConfigError, "is no SpeakerEncoder: it has no name"),
        (f"{__name__}:Missing", EngineUnavailableError, "cannot be loaded"),
        ("no.such.package:Name", EngineUnavailableError, "cannot be loaded"),
    ],
)
def test_an_engine_that_cannot_be_had_is_named(
    engine: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build_encoder(VoiceConfig(engine=engine))
