"""Every engine speaks, and says how to get what it lacks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from persona_ray.asr.text import normalise
from persona_ray.audio.resample import resample
from persona_ray.config import load_config
from persona_ray.errors import SynthesisError
from persona_ray.inference.hearing import Hearing
from persona_ray.tts import espeak
from persona_ray.tts.base import Voice
from persona_ray.tts.espeak import EspeakSynthesizer
from persona_ray.tts.kokoro import BASE_VOICES, KokoroSynthesizer, play_faster
from persona_ray.tts.tone import ToneSynthesizer

SENTENCE = "我想先看一下合同，再决定。"
WOMAN = Voice("w", "female", (("zf_xiaobei", 0.7), ("zf_xiaoyi", 0.3)))


def pitch_hz(samples: np.ndarray, rate_hz: int) -> float:
    """The pitch of a steady tone (samples,), from the first peak of its autocorrelation."""
    middle = samples[: rate_hz // 10]
    correlation = np.correlate(middle, middle, "full")[middle.size :]
    shortest = rate_hz // 500
    return rate_hz / (shortest + 1 + int(np.argmax(correlation[shortest : rate_hz // 60])))


def test_tones_follow_speed_and_pitch() -> None:
    tone = ToneSynthesizer()
    plain, rate_hz = tone.synthesize("好", WOMAN, 1.0)
    fast, _ = tone.synthesize("好", WOMAN, 2.0)
    high, _ = tone.synthesize("好", Voice("w", "female", pitch=1.2), 1.0)
    assert fast.size == pytest.approx(plain.size / 2, abs=1)
    assert pitch_hz(high, rate_hz) == pytest.approx(1.2 * pitch_hz(plain, rate_hz), rel=0.04)
    assert np.abs(plain).max() < 1


def test_tones_are_repeatable_and_silent_at_punctuation() -> None:
    first, rate_hz = ToneSynthesizer().synthesize("好，好", WOMAN, 1.0)
    again, _ = ToneSynthesizer().synthesize("好，好", WOMAN, 1.0)
    assert np.array_equal(first, again)
    middle = first.size // 2
    assert not first[middle - rate_hz // 50 : middle + rate_hz // 50].any()


def test_playing_faster_raises_pitch_and_shortens() -> None:
    rate_hz = 24_000
    tone = np.sin(2 * np.pi * 200 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    faster = play_faster(tone, 1.25)
    assert faster.size == pytest.approx(rate_hz / 1.25, abs=2)
    assert pitch_hz(faster[1000:], rate_hz) == pytest.approx(250, rel=0.02)


def test_missing_voices_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match=r"npm pack kokoro-js@1\.2\.1"):
        KokoroSynthesizer(None)
    with pytest.raises(SynthesisError, match=r"zf_xiaobei\.bin.*npm pack"):
        KokoroSynthesizer(tmp_path)


def test_a_damaged_voice_is_named(tmp_path: Path) -> None:
    (tmp_path / "zf_xiaobei.bin").write_bytes(b"\0" * 40)
    with pytest.raises(SynthesisError, match=r"zf_xiaobei\.bin holds 10 floats"):
        KokoroSynthesizer(tmp_path)


def stand_in(folder: Path, script: str, language: str = "cmn-latn-pinyin") -> str:
    """A program in place of espeak-ng, with one Mandarin voice."""
    program = folder / "espeak-ng"
    voices = f"[ $1 = --voices=cmn ] && echo ' 5  {language}  --/M  Chinese' && exit 0"
    program.write_text(f"#!/bin/sh\n{voices}\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_missing_espeak_says_how_to_get_it() -> None:
    with pytest.raises(SynthesisError, match="apt-get install espeak-ng"):
        EspeakSynthesizer("espeak-ng-that-nobody-has")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'no voice cmn' >&2; exit 3", "no voice cmn"),
        ("exit 3", "exit 3"),
        ("exit 0", "no sound came out"),
        ("echo 'not a WAV'", "no sound came out"),
    ],
)
def test_a_program_that_does_not_speak_is_quoted(tmp_path: Path, script: str, message: str) -> None:
    program = stand_in(tmp_path, script)
    with pytest.raises(SynthesisError, match=f"-v cmn-latn-pinyin.f3 .*{SENTENCE}.*{message}"):
        EspeakSynthesizer(program).synthesize(SENTENCE, WOMAN, 1.0)


def test_a_program_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "_TIMEOUT_S", 0.2)
    program = stand_in(tmp_path, "exec sleep 60")
    with pytest.raises(SynthesisError, match=r"no answer within 0\.2 s"):
        EspeakSynthesizer(program).synthesize(SENTENCE, WOMAN, 1.0)


def test_espeak_gets_text_rate_and_pitch(tmp_path: Path) -> None:
    """The seam is the command line: a stand-in answers with a WAV and keeps what it got."""
    import soundfile

    soundfile.write(tmp_path / "answer.wav", np.zeros(220, np.float32), 22_050)
    program = stand_in(
        tmp_path,
        f'echo "$@" > {tmp_path}/arguments; cat > {tmp_path}/text; cat {tmp_path}/answer.wav',
    )
    samples, rate_hz = EspeakSynthesizer(program).synthesize(SENTENCE, WOMAN, 1.2)
    assert (samples.size, rate_hz) == (220, 22_050)
    assert (tmp_path / "text").read_text(encoding="utf-8") == SENTENCE
    assert "-v cmn-latn-pinyin+f3 -s 210 -p 60 --stdout" in (tmp_path / "arguments").read_text()


def test_an_older_espeak_has_mandarin_by_another_name(tmp_path: Path) -> None:
    assert EspeakSynthesizer(stand_in(tmp_path, "", "cmn")).name == "espeak-ng-cmn"
    with pytest.raises(SynthesisError, match="no Mandarin voice"):
        EspeakSynthesizer(stand_in(tmp_path, "", "en"))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_espeak_is_understood() -> None:
    said = "您好，请问您找他有什么事情？"
    samples, rate_hz = EspeakSynthesizer().synthesize(said, WOMAN, 0.85)
    assert 1.0 < samples.size / rate_hz < 6.0
    heard = Hearing(load_config(None, [])).text(resample(samples, rate_hz, 16_000), 16_000)
    told = sum(character in heard for character in set(normalise(said)))
    assert told > len(set(normalise(said))) / 2, heard


@pytest.fixture(scope="module")
def kokoro() -> KokoroSynthesizer:
    """The real engine, where PERSONA_RAY_VOICES names the folder of its voices."""
    pytest.importorskip("misaki")
    folder = os.environ.get("PERSONA_RAY_VOICES")
    if folder is None:
        pytest.skip("PERSONA_RAY_VOICES does not name a folder of Kokoro voices")
    return KokoroSynthesizer(Path(folder))


def test_kokoro_speaks_and_follows_speed(kokoro: KokoroSynthesizer) -> None:
    calm, rate_hz = kokoro.synthesize(SENTENCE, WOMAN, 1.0)
    fast, _ = kokoro.synthesize(SENTENCE, WOMAN, 1.4)
    assert rate_hz == 24_000
    assert 1.5 < calm.size / rate_hz < 6.0
    assert np.sqrt(np.mean(calm**2)) > 0.01
    assert fast.size < 0.85 * calm.size


def test_kokoro_blends_differ_and_repeat(kokoro: KokoroSynthesizer) -> None:
    man = Voice("m", "male", tuple((name, 0.25) for name in BASE_VOICES["male"]))
    first, _ = kokoro.synthesize("你好", man, 1.0)
    again, _ = kokoro.synthesize("你好", man, 1.0)
    other, _ = kokoro.synthesize("你好", WOMAN, 1.0)
    assert np.array_equal(first, again)
    assert first.size != other.size or not np.allclose(first, other, atol=0.01)


def test_kokoro_names_what_it_cannot_speak(kokoro: KokoroSynthesizer) -> None:
    with pytest.raises(SynthesisError, match="nothing to speak"):
        kokoro.synthesize("", WOMAN, 1.0)
    with pytest.raises(SynthesisError, match="unknown base voice 'zf_nobody'"):
        kokoro.synthesize("你好", Voice("x", "female", (("zf_nobody", 1.0),)), 1.0)
