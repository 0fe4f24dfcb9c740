"""One way from sound to sentences, wherever the sound comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from persona_ray.audio.coding import as_stored, decode_flac, encode_flac
from persona_ray.audio.vad import VoiceActivity
from persona_ray.errors import ChannelError, EmptyFileError, NotAudioError, TooLongError
from persona_ray.inference.calls import Pieces
from persona_ray.inference.clips import ClipInput
from persona_ray.inference.hearing import Hearing
from tests.unit.inference.test_personality import CONFIG, Forbidden, Scripted, recording, speech

__all__ = ["recording", "speech"]

SAID = "这个产品我想想"


def same(first: Pieces, second: Pieces) -> None:
    assert first.reason == second.reason
    assert len(first.pieces) == len(second.pieces)
    for one, other in zip(first.pieces, second.pieces, strict=True):
        assert (one.start_s, one.end_s, one.text) == (other.start_s, other.end_s, other.text)
        assert one.sample_rate_hz == other.sample_rate_hz
        np.testing.assert_array_equal(one.samples, other.samples)


@pytest.mark.parametrize("reads", [True, False])
def test_a_file_its_bytes_and_live_speech_give_the_same_sentences(
    recording: Path, reads: bool
) -> None:
    hearing = Hearing(CONFIG, reads, Scripted(SAID))
    by_file = hearing.recording(str(recording), 1)
    assert len(by_file.pieces) >= 2
    uploaded = hearing.upload(recording.read_bytes(), "call.wav", 1)
    same(uploaded, by_file)
    assert uploaded.flags == by_file.flags
    both, rate_hz = soundfile.read(recording, dtype="float32")
    track = np.ascontiguousarray(both[:, 1])
    from persona_ray.audio.resample import resample

    native = resample(track, rate_hz, CONFIG.audio.sample_rate_hz)
    found = VoiceActivity(CONFIG.vad).speech(native, CONFIG.audio.sample_rate_hz)
    same(hearing.utterance(track, rate_hz, found), by_file)


def test_live_speech_is_dropped_as_recorded_speech_is(
    speech: tuple[NDArray[np.float32], int],
) -> None:
    samples, rate_hz = speech
    found = VoiceActivity(CONFIG.vad).speech(samples, rate_hz)
    short = Hearing(CONFIG, True, Scripted("嗯")).utterance(samples, rate_hz, found)
    assert short.pieces == ()
    assert "short" in short.reason
    nobody = Hearing(CONFIG, True, Forbidden()).utterance(samples, rate_hz, ())
    assert nobody.reason == "no speech detected"


def test_who_names_a_channel_is_believed_and_no_database_is_spoken_of(
    recording: Path, tmp_path: Path
) -> None:
    both, rate_hz = soundfile.read(recording, dtype="float32")
    hearing = Hearing(CONFIG, True, Scripted(SAID))
    twice, mono = tmp_path / "twice.wav", tmp_path / "mono.wav"
    soundfile.write(twice, np.repeat(both[:, 1:], 2, axis=1), rate_hz)
    soundfile.write(mono, both[:, 1], rate_hz)
    same(hearing.recording(str(twice), 1), hearing.recording(str(mono), 0))
    with pytest.raises(ChannelError, match=r"has 1 channel\(s\), none .* channel 1") as caught:
        hearing.upload(mono.read_bytes(), "mono.wav", 1)
    assert "database" not in str(caught.value)


def test_bytes_that_are_no_call_are_named_as_files_are(recording: Path) -> None:
    hearing = Hearing(CONFIG, True, Forbidden())
    with pytest.raises(NotAudioError, match=r"notes\.wav"):
        hearing.upload(b"no audio at all " * 40, "notes.wav", 0)
    with pytest.raises(EmptyFileError, match=r"empty\.wav"):
        hearing.upload(b"", "empty.wav", 0)
    archive = CONFIG.archive.model_copy(update={"max_call_s": 1.0})
    brief = Hearing(CONFIG.model_copy(update={"archive": archive}), True, Forbidden())
    with pytest.raises(TooLongError, match="limit of 1 s"):
        brief.upload(recording.read_bytes(), "call.wav", 0)


def test_a_clip_is_given_its_text_only_where_it_is_read(
    speech: tuple[NDArray[np.float32], int],
) -> None:
    samples, rate_hz = speech
    clip = ClipInput(samples[: 4 * rate_hz], rate_hz)
    asr = Scripted(SAID)
    hearing = Hearing(CONFIG, True, asr)
    assert (hearing.clip(clip).text or "").startswith(SAID)
    assert hearing.clip(ClipInput(clip.samples, rate_hz, " 好的 ")).text == "好的"
    assert asr.calls == 1
    deaf = hearing.for_model(reads=False)
    assert deaf.clip(ClipInput(clip.samples, rate_hz, "好的")).text is None


def test_samples_are_rounded_as_stored_clips_are() -> None:
    rng = np.random.default_rng(0)
    samples = (1.5 * rng.uniform(-1, 1, 4_000)).astype(np.float32)
    there_and_back, _ = decode_flac(encode_flac(samples, 8_000))
    np.testing.assert_array_equal(as_stored(samples), there_and_back)
