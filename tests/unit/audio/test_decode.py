"""Every format comes back as it went in; every bad file is named for what it is."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from persona_ray.audio.decode import decode_bytes, read_audio
from persona_ray.errors import (
    CallError,
    EmptyFileError,
    NotAudioError,
    TooLongError,
    TruncatedError,
    UnreadableError,
)
from tests.unit.audio.sounds import FORMATS, RATE_HZ, encoded, sample_file, stereo


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_comes_back_sample_by_sample(name: str) -> None:
    audio = decode_bytes(sample_file(name), name)
    original = stereo()
    assert audio.sample_rate_hz == RATE_HZ
    assert audio.samples.shape == original.shape
    assert audio.samples.dtype == np.float32
    tolerance = FORMATS[name][2]
    if tolerance is not None:
        np.testing.assert_allclose(audio.samples, original, atol=tolerance)
    else:
        level = np.sqrt(np.mean(audio.samples**2, axis=1) / np.mean(original**2, axis=1))
        np.testing.assert_allclose(level, 1.0, atol=0.15)
    assert set(audio.flags) <= {"mulaw", "alaw"}
    assert (name in ("mulaw", "alaw")) == bool(audio.flags)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_file_cut_off_is_truncated(name: str, share: float) -> None:
    data = sample_file(name)
    with pytest.raises(TruncatedError, match="the-call"):
        decode_bytes(data[: int(len(data) * share)], "the-call")


@pytest.mark.parametrize("name", ["wav", "mulaw", "flac", "mp3"])
def test_a_little_missing_at_the_end_is_kept_and_flagged(name: str) -> None:
    data = encoded(stereo(20.0), name)
    audio = decode_bytes(data[: int(len(data) * 0.98)], name)
    assert "cut_short" in audio.flags
    assert 18.0 < audio.duration_s < 20.0


def test_damage_in_the_middle_of_flac_is_truncation() -> None:
    data = bytearray(encoded(stereo(20.0), "flac"))
    middle = len(data) // 2
    data[middle : middle + 2000] = b"\x55" * 2000
    with pytest.raises(TruncatedError, match=r"\d+% of what its header promises"):
        decode_bytes(bytes(data), "damaged.flac")


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_F000])
def test_a_wav_whose_writer_left_the_length_open_is_whole(length: int) -> None:
    data = bytearray(sample_file("wav"))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", length)
    data[4:8] = struct.pack("<I", length)
    assert decode_bytes(bytes(data), "piped.wav").samples.shape == stereo().shape


@pytest.mark.parametrize("riff_length", [0, 36])
def test_a_wav_whose_writer_was_stopped_is_truncated(riff_length: int) -> None:
    data = bytearray(sample_file("wav"))
    at = data.index(b"data") + 4
    data[at : at + 4] = bytes(4)
    data[4:8] = struct.pack("<I", riff_length)
    with pytest.raises(TruncatedError, match="never finished"):
        decode_bytes(bytes(data), "crashed.wav")


def test_a_flac_whose_writer_left_the_length_open_is_whole_and_still_limited() -> None:
    data = bytearray(sample_file("flac"))
    # STREAMINFO: 36 bits of length end at byte 26.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    np.testing.assert_allclose(decode_bytes(bytes(data), "piped.flac").samples, stereo(), atol=2e-4)
    with pytest.raises(TooLongError):
        decode_bytes(bytes(data), "piped.flac", max_s=1.0)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyFileError),
        (b"RIFF", NotAudioError),
        (b"%PDF-1.7 this is an invoice", NotAudioError),
        (bytes(4096), NotAudioError),
        (b"OggS" + bytes(200), TruncatedError),
        (encoded(np.zeros((2, 0), np.float32), "wav"), EmptyFileError),
        (encoded(np.zeros((2, 0), np.float32), "flac"), CallError),
    ],
)
def test_what_is_no_audio_is_named(data: bytes, error: type[CallError]) -> None:
    with pytest.raises(error, match="the-call"):
        decode_bytes(data, "the-call")


def test_a_three_hour_file_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    data = sample_file("wav")
    at = data.index(b"data") + 4
    size = 3 * 3600 * RATE_HZ * 4
    with path.open("wb") as file:
        file.write(data[:at] + struct.pack("<I", size))
        file.truncate(at + 4 + size)
    tracemalloc.start()
    with pytest.raises(TooLongError, match=r"10800 s.*7200 s.*archive.max_call_s"):
        read_audio(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20, "the refusal must not read the file"


def test_many_silent_channels_do_not_fill_the_memory() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((8 * 48_000, 8), np.int16), 48_000, format="FLAC")
    with pytest.raises(TooLongError, match="8 channels"):
        decode_bytes(buffer.getvalue(), "bomb.flac", max_s=10.0)


@pytest.mark.parametrize("rate_hz", [10, 1_000_000])
def test_rates_no_call_has_are_refused(rate_hz: int) -> None:
    data = encoded(stereo(1.0), "wav", rate_hz)
    with pytest.raises(NotAudioError, match=str(rate_hz)):
        decode_bytes(data, "odd.wav", max_s=1e9)


def test_nan_infinity_and_overload_are_mended_and_flagged() -> None:
    samples = stereo()
    samples[0, 10:20] = np.nan
    samples[1, 30] = np.inf
    samples[0, 100] = -4.0
    audio = decode_bytes(encoded(samples, "wavfloat"), "float.wav")
    assert set(audio.flags) == {"mended_samples", "rescaled"}
    assert np.all(np.abs(audio.samples) <= 1.0)
    np.testing.assert_allclose(audio.samples[1, 40:] * 4, samples[1, 40:], atol=1e-6)
    assert np.all(audio.samples[0, 10:20] == 0)
    with pytest.raises(NotAudioError, match="no finite sample"):
        decode_bytes(encoded(np.full((2, 50), np.nan, np.float32), "wavfloat"), "nan.wav")


def test_uris_of_every_kind_lead_to_the_same_samples(tmp_path: Path) -> None:
    data = sample_file("flac")
    (tmp_path / "calls").mkdir()
    path = tmp_path / "calls" / "a call.flac"
    path.write_bytes(data)
    with fsspec.open("memory://archive/calls/a call.flac", "wb") as file:
        file.write(data)
    expected = decode_bytes(data, "x").samples
    for uri, root in [
        (str(path), ""),
        (str(path), "/elsewhere"),
        (f"file://{path}", "memory://archive"),
        ("calls/a call.flac", str(tmp_path)),
        ("calls/a call.flac", f"file://{tmp_path}/"),
        ("calls/a call.flac", "memory://archive"),
        ("memory://archive/calls/a call.flac", ""),
    ]:
        np.testing.assert_array_equal(read_audio(uri, root).samples, expected)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("missing.wav", "missing.wav"),
        ("nosuchprotocol://bucket/x.wav", "nosuchprotocol"),
        ("memory://nothing/here.wav", "here.wav"),
        ("http://127.0.0.1:9/x.wav", "127.0.0.1:9"),
        ("", "cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_unreadable(uri: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=says) as caught:
        read_audio(uri, str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["wav", "rf64", "flac", "vorbis"])
def test_a_connection_lost_at_any_moment_is_unreadable_and_not_truncated(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFile

    with fsspec.open("memory://flaky", "wb") as file:
        file.write(sample_file(name))
    whole, left = MemoryFile.read, 1_000

    def failing(self: MemoryFile, count: int = -1) -> bytes:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConnectionResetError("the peer went away")
        return whole(self, count)

    monkeypatch.setattr(MemoryFile, "read", failing)
    read_audio("memory://flaky")
    needed = 1_000 - left
    assert needed > 3
    for left in range(needed):  # noqa: B007 (`failing` counts it down)
        with pytest.raises(UnreadableError, match="the peer went away"):
            read_audio("memory://flaky")


def _decodes_or_says_why(data: bytes) -> None:
    refusal = ""
    try:
        audio = decode_bytes(data, "hostile", max_s=60.0)
    except CallError as error:
        refusal = error.detail
    if refusal:
        assert "hostile" in refusal
        assert "\n" not in refusal
    else:
        assert audio.samples.size
        assert np.all(np.abs(audio.samples) <= 1.0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    head=st.sampled_from([b"", b"RIFF\x24\x00\x00\x00WAVEfmt ", b"fLaC", b"OggS\x00\x02", b"ID3"]),
    body=st.binary(max_size=600),
)
def test_random_bytes_raise_call_errors_alone(head: bytes, body: bytes) -> None:
    _decodes_or_says_why(head + body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), name=st.sampled_from(sorted(FORMATS)))
def test_damaged_files_raise_call_errors_alone(data: st.DataObject, name: str) -> None:
    whole = bytearray(sample_file(name))
    # Headers are where damage hurts: half of the blows go to the first 200 bytes.
    places = st.one_of(st.integers(0, 199), st.integers(0, len(whole) - 1))
    for at, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        whole[at] = value
    _decodes_or_says_why(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
