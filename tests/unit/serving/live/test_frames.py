"""Frames of any rate and coding -> sound, also from the middle of a call on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.audio.resample import resample
from persona_ray.errors import RequestError
from persona_ray.serving.live.endpoint import Endpointer
from persona_ray.serving.live.frames import FrameIntake, frame
from persona_ray.serving.live.protocol import Sound
from tests.unit.serving.live.lines import frames_of
from tests.unit.serving.live.sounds import loud_voice, talk
from tests.unit.serving.live.test_endpoint import LIVE, spoken


@settings(max_examples=40)
@given(
    rate_hz=st.sampled_from([8000, 11_025, 16_000, 44_100, 48_000]),
    size=st.integers(60, 900),
    length=st.integers(0, 8000),
    share=st.floats(0, 1),
)
def test_a_call_goes_on_at_any_frame_that_is_settled(
    rate_hz: int, size: int, length: int, share: float
) -> None:
    sound = np.random.default_rng(length).uniform(-0.9, 0.9, length).astype(np.float32)
    sound = (np.rint(sound * 32_768) / 32_768).astype(np.float32)
    frames = frames_of(sound, size)
    line = Sound(sample_rate_hz=rate_hz)
    intake = FrameIntake(line, 8000, 3600)
    found = [intake.take(one) for one in frames]
    whole = resample(sound, rate_hz, 8000)
    taken = [one for one in found if one is not None]
    np.testing.assert_allclose(np.concatenate([*taken, intake.finish()]), whole, atol=2e-6)

    position = round(share * len(whole))
    number, offset = intake.settled(position)
    assert offset == min(number * size, length)
    later = FrameIntake(line, 8000, 3600, number + 1, offset)
    begin = later.position
    assert begin <= position
    rest = [later.take(one) for one in frames]
    assert [one is None for one in rest] == [True] * number + [False] * (len(frames) - number)
    again = np.concatenate([*(one for one in rest if one is not None), later.finish()])
    np.testing.assert_allclose(again, whole[begin : begin + len(again)], atol=2e-6)
    # Not more than a frame and what the filter wants is sent again.
    assert number == len(frames) or (number + 1) * size / rate_hz > position / 8000 - 0.1


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_utterances_of_a_wide_line_are_gone_on_with(rate_hz: int) -> None:
    sound = resample(talk((1.2, 1.4), (0.8, 1.5), (2.0, 1.2)), 8000, rate_hz)
    frames, line = frames_of(sound, rate_hz // 50), Sound(sample_rate_hz=rate_hz)

    def hear(intake: FrameIntake, endpointer: Endpointer) -> list:  # type: ignore[type-arg]
        cuts = []
        for one in frames:
            samples = intake.take(one)
            ended = [] if samples is None else endpointer.push(samples)
            cuts += [(cut, intake.settled(cut.checkpoint.position)) for cut in ended]
        last = [*endpointer.push(intake.finish()), *endpointer.finish()]
        return [*cuts, *((cut, (0, 0)) for cut in last)]

    voice = loud_voice()
    whole = hear(FrameIntake(line, 8000, 3600), Endpointer(voice, LIVE, 8000))
    assert len(spoken([cut for cut, _ in whole])) == 3
    for number, (cut, (settled, offset)) in enumerate(whole[:-1]):
        intake = FrameIntake(line, 8000, 3600, settled + 1, offset)
        again = hear(intake, Endpointer(voice, LIVE, 8000, intake.position, cut.checkpoint))
        expected = spoken([one for one, _ in whole[number + 1 :]])
        heard = spoken([one for one, _ in again])
        assert [(one.start_s, one.speech) for one in heard] == [
            (one.start_s, one.speech) for one in expected
        ]
        for one, two in zip(heard, expected, strict=True):
            np.testing.assert_allclose(one.samples, two.samples, atol=2e-6)


def test_numbers_are_big_endian_from_one() -> None:
    assert frame(258, b"ab") == b"\x00\x00\x01\x02ab"
    intake = FrameIntake(Sound(), 8000, 3600)
    with pytest.raises(RequestError, match="frame 3 has come without 1 to 2"):
        intake.take(frame(3, b""))
    first = intake.take(frame(1, b"\x00\x40"))
    assert first is not None
    assert first.tolist() == [0.5]
    assert intake.take(frame(1, b"\x00\x40")) is None
