"""The embedded recogniser on people: human Mandarin as it comes over the telephone."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from persona_ray.asr.base import Recognizer
from persona_ray.asr.build import build_recognizer
from persona_ray.asr.script import has_traditional
from persona_ray.asr.text import normalise
from persona_ray.audio.channels import customer_track
from persona_ray.audio.decode import decode_bytes
from persona_ray.audio.resample import resample
from persona_ray.audio.vad import Span, VoiceActivity
from persona_ray.config.corpus import ArchiveConfig, AsrConfig, AudioConfig, VadConfig
from persona_ray.errors import ConfigError, EngineUnavailableError
from persona_ray.types import CallRecord, Transcript
from tests.unit.asr.human import RATE_HZ, Sentence, one_channel, sentences

VAD = VoiceActivity(VadConfig())
LIMIT = 0.25


@pytest.fixture(scope="module")
def whisper() -> Recognizer:
    return build_recognizer(AsrConfig())


@pytest.fixture(scope="module")
def read(shared_data: Path) -> list[Sentence]:
    return sentences(shared_data / "aishell3", 9)


def heard(whisper: Recognizer, samples: NDArray[np.float32], rate_hz: int = RATE_HZ) -> Transcript:
    return whisper.transcribe(samples, rate_hz, VAD.speech(samples, rate_hz))


def test_mono_files_are_understood(whisper: Recognizer, read: list[Sentence]) -> None:
    found = [heard(whisper, sentence.samples) for sentence in read]
    texts = [normalise(one.text) for one in found]
    assert jiwer.cer([sentence.text for sentence in read], texts) < LIMIT
    assert not any(has_traditional(text) for text in texts)
    assert not any(char.isascii() and char.isdigit() for text in texts for char in text)
    assert {one.source for one in found} == {"whisper-base"}


def test_one_channel_of_a_mulaw_stereo_call_is_understood(
    whisper: Recognizer, read: list[Sentence]
) -> None:
    said, wanted = [], []
    for start in range(0, len(read), 3):
        samples, text = one_channel(read[start : start + 3], gap_s=1.5)
        other = np.roll(samples, RATE_HZ) * 0.7
        buffer = io.BytesIO()
        soundfile.write(buffer, np.stack([other, samples], 1), RATE_HZ, "ULAW", format="WAV")
        record = CallRecord("c", "k", "call.wav", customer_channel=1, channels=2)
        audio = decode_bytes(buffer.getvalue(), "call.wav")
        track = customer_track(audio, record, ArchiveConfig(), AudioConfig())
        said.append(normalise(heard(whisper, track.samples, track.sample_rate_hz).text))
        wanted.append(text)
    assert jiwer.cer(wanted, said) < LIMIT


def test_each_word_stands_where_it_was_said(whisper: Recognizer, read: list[Sentence]) -> None:
    parts = read[6:9]
    samples, _ = one_channel(parts, gap_s=2.0)
    speech = VAD.speech(samples, RATE_HZ)
    words = whisper.transcribe(samples, RATE_HZ, speech).words
    assert all(one.end_s <= two.start_s for one, two in pairwise(words))
    for word in words:
        assert any(
            s.start_s <= word.start_s + 1e-3 and word.end_s <= s.end_s + 1e-3 for s in speech
        )
    at_s = 2.0
    for part in parts:
        end_s = at_s + len(part.samples) / RATE_HZ
        inside = "".join(w.text for w in words if at_s <= (w.start_s + w.end_s) / 2 <= end_s)
        assert jiwer.cer(part.text, normalise(inside)) < 0.35
        at_s = end_s + 2.0


def test_times_move_with_the_sound(whisper: Recognizer, read: list[Sentence]) -> None:
    samples = read[8].samples
    speech = VAD.speech(samples, RATE_HZ)
    words = whisper.transcribe(samples, RATE_HZ, speech).words
    later = np.concatenate([np.zeros(100 * RATE_HZ, np.float32), samples])
    shifted = whisper.transcribe(
        later, RATE_HZ, [Span(100 + span.start_s, 100 + span.end_s) for span in speech]
    ).words
    # What stands before the sentence differs (nothing, silence), and with it maybe a full stop.
    assert [normalise(word.text) for word in shifted] == [normalise(word.text) for word in words]
    for one, two in zip(words, shifted, strict=True):
        assert two.start_s - one.start_s == pytest.approx(100, abs=0.1)


def test_speech_without_pauses_is_heard_to_its_end(
    whisper: Recognizer, read: list[Sentence]
) -> None:
    samples, text = one_channel(read[2:9], gap_s=0.1)
    whole = [Span(0.0, len(samples) / RATE_HZ)]
    found = whisper.transcribe(samples, RATE_HZ, whole)
    assert whole[0].duration_s > 30, "longer than any window of the model"
    assert jiwer.cer(text, normalise(found.text)) < 0.35
    assert found.words[-1].end_s > whole[0].end_s - 1.5


def test_the_same_sound_gives_the_same_words(whisper: Recognizer, read: list[Sentence]) -> None:
    samples = read[6].samples
    first = heard(whisper, samples)
    heard(whisper, read[3].samples)
    assert heard(whisper, samples) == first
    beside = build_recognizer(AsrConfig(), at_once=2)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(partial(heard, beside), [samples, samples])) == [first, first]


@pytest.mark.parametrize("rate_hz", [11_025, 16_000, 44_100])
def test_any_rate_is_taken(whisper: Recognizer, read: list[Sentence], rate_hz: int) -> None:
    samples = resample(read[8].samples, RATE_HZ, rate_hz)
    found = whisper.transcribe(samples, rate_hz, VAD.speech(samples, rate_hz))
    assert jiwer.cer(read[8].text, normalise(found.text)) < 0.35


@pytest.mark.parametrize("sound", ["zeros", "noise", "hum", "ringing", "clicks"])
def test_nothing_is_heard_where_nobody_speaks(whisper: Recognizer, sound: str) -> None:
    rng = np.random.default_rng(3)
    time_s = np.arange(8 * RATE_HZ) / RATE_HZ
    samples = {
        "zeros": np.zeros(len(time_s)),
        "noise": 0.1 * rng.standard_normal(len(time_s)),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * time_s),
        "ringing": 0.2 * np.sin(2 * np.pi * 450 * time_s) * (time_s % 5 < 1),
        "clicks": 0.8 * (rng.random(len(time_s)) < 0.001),
    }[sound].astype(np.float32)
    # Even where voice activity detection errs.
    assert whisper.transcribe(samples, RATE_HZ, [Span(0.5, 3.0), Span(4.0, 7.5)]).words == ()


def test_no_speech_costs_nothing_and_gives_no_words(whisper: Recognizer) -> None:
    assert whisper.transcribe(np.zeros(0, np.float32), RATE_HZ, []).words == ()
    assert whisper.transcribe(np.zeros(800, np.float32), RATE_HZ, []).words == ()


def test_other_languages_need_their_own_prompt() -> None:
    with pytest.raises(ConfigError, match=r"asr\.prompt is Chinese and asr\.language is 'en'"):
        build_recognizer(AsrConfig(language="en"))
    with pytest.raises(ConfigError, match=r"asr\.language 'klingon'"):
        build_recognizer(AsrConfig(language="klingon", prompt=""))


def test_weights_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineUnavailableError, match=r"holds no model\.bin.*CTranslate2"):
        build_recognizer(AsrConfig(model=str(tmp_path)))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EngineUnavailableError, match=r"'no-such-whisper' cannot be loaded"):
        build_recognizer(AsrConfig(model="no-such-whisper"))


def test_a_folder_is_loaded_with_the_full_window(read: list[Sentence]) -> None:
    from persona_ray.asr.weights import whisper_base_dir

    folder = whisper_base_dir()
    named = build_recognizer(AsrConfig(model=str(folder)))
    assert named.name == f"whisper-{folder.name}"
    found = heard(named, read[8].samples)
    assert jiwer.cer(read[8].text, normalise(found.text)) < 0.35
