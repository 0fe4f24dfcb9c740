"""The customer's channel: found by the map, refused where the map cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from persona_ray.audio.channels import customer_track, loudest_db
from persona_ray.audio.decode import DecodedAudio, decode_bytes
from persona_ray.config.corpus import ArchiveConfig, AudioConfig
from persona_ray.errors import CallError, ChannelError, SilentError, TruncatedError
from persona_ray.types import CallRecord, QuarantineReason
from tests.unit.audio.sounds import RATE_HZ, encoded, stereo

ARCHIVE, AUDIO = ArchiveConfig(), AudioConfig()


def record(channel: int = 0, channels: int = 2, duration_s: float | None = None) -> CallRecord:
    return CallRecord("c1", "k1", "calls/c1.wav", channel, channels, duration_s=duration_s)


@pytest.mark.parametrize("channel", [0, 1])
def test_the_map_decides_which_channel_is_taken(channel: int) -> None:
    sound = stereo()
    track = customer_track(DecodedAudio(sound, RATE_HZ), record(channel), ARCHIVE, AUDIO)
    np.testing.assert_array_equal(track.samples, sound[channel])
    assert (track.channel, track.sample_rate_hz, track.flags) == (channel, RATE_HZ, ())
    assert track.samples.flags.c_contiguous


def test_mono_where_stereo_is_promised_follows_the_policy() -> None:
    mono = DecodedAudio(stereo()[:1], RATE_HZ)
    with pytest.raises(ChannelError, match=r"calls/c1.wav has one channel.*archive.mono") as caught:
        customer_track(mono, record(1), ARCHIVE, AUDIO)
    assert caught.value.reason is QuarantineReason.MONO
    track = customer_track(mono, record(1), ArchiveConfig(mono="customer"), AUDIO)
    assert (track.channel, track.flags) == (0, ("mono",))


def test_mono_that_the_database_knows_of_is_no_fault() -> None:
    mono = DecodedAudio(stereo()[:1], RATE_HZ)
    assert customer_track(mono, record(0, channels=1), ARCHIVE, AUDIO).flags == ()


@pytest.mark.parametrize("name", ["wav", "mulaw", "vorbis", "opus", "mp3"])
def test_one_signal_written_twice_is_mono_too(name: str) -> None:
    same = stereo()[[0, 0]]
    twice = decode_bytes(encoded(same, name), name)
    with pytest.raises(ChannelError, match="one signal in all its channels"):
        customer_track(twice, record(), ARCHIVE, AUDIO)
    track = customer_track(twice, record(), ArchiveConfig(mono="customer"), AUDIO)
    assert "mono" in track.flags


def test_crosstalk_is_not_one_signal() -> None:
    sound = stereo()
    mixed = np.stack([sound[0] + 0.3 * sound[1], sound[1] + 0.3 * sound[0]])
    assert customer_track(DecodedAudio(mixed, RATE_HZ), record(), ARCHIVE, AUDIO).flags == ()


@pytest.mark.parametrize("channel", [2, 7, -1])
def test_a_channel_that_is_not_in_the_file_is_named(channel: int) -> None:
    with pytest.raises(ChannelError, match=rf"channel {channel} \(counted from 0\)"):
        customer_track(DecodedAudio(stereo(), RATE_HZ), record(channel), ARCHIVE, AUDIO)


def test_more_channels_than_promised_are_flagged() -> None:
    sound = np.concatenate([stereo(), stereo()[::-1] * 0.1])
    track = customer_track(DecodedAudio(sound, RATE_HZ), record(1), ARCHIVE, AUDIO)
    assert track.flags == ("channels",)


@pytest.mark.parametrize(("seconds", "fits"), [(1.7, False), (1.85, True), (2.5, True)])
def test_a_file_shorter_than_promised_is_truncated(seconds: float, fits: bool) -> None:
    audio = DecodedAudio(stereo(seconds), RATE_HZ)
    promise = record(duration_s=2.0)
    if fits:
        customer_track(audio, promise, ARCHIVE, AUDIO)
    else:
        with pytest.raises(TruncatedError, match=r"1\.7 s.*promises 2\.0 s"):
            customer_track(audio, promise, ARCHIVE, AUDIO)


def test_silence_is_judged_on_the_customers_channel_alone() -> None:
    sound = stereo()
    sound[1] *= 1e-4
    audio = DecodedAudio(sound, RATE_HZ)
    customer_track(audio, record(0), ARCHIVE, AUDIO)
    with pytest.raises(SilentError, match=r"channel 1 never rises above -\d+ dBFS"):
        customer_track(audio, record(1), ARCHIVE, AUDIO)


def test_one_word_in_an_hour_is_not_silence() -> None:
    sound = np.zeros((2, 60 * RATE_HZ), np.float32)
    sound[0, 5000:5400] = stereo()[0, :400]
    customer_track(DecodedAudio(sound, RATE_HZ), record(0), ARCHIVE, AUDIO)


def test_the_level_is_that_of_the_loudest_20_ms() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    sine = (0.1 * np.sqrt(2) * np.sin(2 * np.pi * 400 * time_s)).astype(np.float32)
    assert loudest_db(sine, RATE_HZ) == pytest.approx(-20.0, abs=0.05)
    quiet = np.concatenate([np.zeros(RATE_HZ, np.float32), sine])
    assert loudest_db(quiet, RATE_HZ) == pytest.approx(-20.0, abs=0.05)
    assert loudest_db(np.zeros(10, np.float32), RATE_HZ) == pytest.approx(-200.0)


def test_another_rate_is_converted_and_flagged() -> None:
    audio = DecodedAudio(stereo(rate_hz=44_100), 44_100, ("cut_short",))
    track = customer_track(audio, record(1), ARCHIVE, AUDIO)
    assert track.sample_rate_hz == AUDIO.sample_rate_hz
    assert track.duration_s == pytest.approx(audio.duration_s, abs=1e-3)
    assert track.flags == ("cut_short", "converted_rate")
    np.testing.assert_allclose(
        track.samples[400:-400], stereo(rate_hz=8000)[1, 400:-400], atol=0.01
    )


def test_every_refusal_can_cross_processes() -> None:
    import pickle

    with pytest.raises(CallError) as caught:
        customer_track(DecodedAudio(stereo()[:1], RATE_HZ), record(1), ARCHIVE, AUDIO)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.detail) == (type(caught.value), caught.value.detail)
