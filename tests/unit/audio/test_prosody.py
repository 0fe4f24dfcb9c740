"""How sounds sound whose pitch, level, rate and pauses are known."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from numpy.typing import NDArray

from persona_ray.audio.prosody import NO_SOUND, Prosody, prosody, syllables_of
from persona_ray.audio.vad import Span
from persona_ray.types import Word

Wave = NDArray[np.float32]


def tone(hz: float, duration_s: float, rate_hz: int, power: float = 0.01) -> Wave:
    """A harmonic tone (n,) of that pitch and mean power."""
    seconds = np.arange(round(duration_s * rate_hz)) / rate_hz
    found = sum(np.sin(2 * np.pi * hz * k * seconds) / k for k in range(1, 6))
    return np.asarray(found * np.sqrt(power / np.mean(np.square(found))), dtype=np.float32)


def silence(duration_s: float, rate_hz: int) -> Wave:
    return np.zeros(round(duration_s * rate_hz), dtype=np.float32)


def whole(samples: Wave, rate_hz: int, words: tuple[Word, ...] = ()) -> Prosody:
    return prosody(samples, rate_hz, (Span(0.0, len(samples) / rate_hz),), words)[0]


@pytest.mark.parametrize("hz", [83.0, 121.0, 187.0, 243.0, 331.0])
@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_pitch_and_level_of_a_tone_are_measured(hz: float, rate_hz: int) -> None:
    around = silence(0.5, rate_hz)
    found = whole(np.concatenate([around, tone(hz, 1.5, rate_hz), around]), rate_hz)
    assert found.voiced
    assert found.pitch_hz == pytest.approx(hz, rel=0.02)
    assert found.level_db == pytest.approx(-20, abs=0.5)
    assert found.speech_s == pytest.approx(1.5, abs=0.05)
    assert found.pause == 0
    assert found.range_st < 0.2


def test_the_range_of_a_gliding_pitch_is_that_of_its_middle_eighty_percent() -> None:
    rate_hz, octave = 8000, 2.0
    seconds = np.arange(2 * rate_hz) / rate_hz
    phase = 2 * np.pi * np.cumsum(120 * octave ** (seconds / 2)) / rate_hz
    gliding = 0.1 * sum(np.sin(k * phase) / k for k in range(1, 6))
    found = whole(np.asarray(gliding, dtype=np.float32), rate_hz)
    assert found.range_st == pytest.approx(0.8 * 12, abs=0.5)
    assert found.pitch_hz == pytest.approx(120 * np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("gain_db", [-30.0, -6.0, 12.0])
def test_gain_shifts_the_level_alone(gain_db: float) -> None:
    samples = np.concatenate([tone(150, 0.7, 8000), silence(0.4, 8000), tone(190, 0.6, 8000)])
    words = (Word("好", 0.0, 0.7), Word("的", 1.1, 1.7))
    before = whole(samples, 8000, words)
    after = whole((samples * 10 ** (gain_db / 20)).astype(np.float32), 8000, words)
    assert after.level_db - before.level_db == pytest.approx(gain_db, abs=0.01)
    same = [(a, b) for a, b in zip(astuple(before), astuple(after), strict=True)]
    assert [pair for pair in same if pair[0] != pytest.approx(pair[1], rel=1e-3)] == [
        (before.level_db, after.level_db)
    ]


def test_an_offset_changes_nothing_and_clipping_little() -> None:
    samples = tone(140, 1.0, 8000, power=0.05)
    plain = whole(samples, 8000)
    assert astuple(whole(samples + np.float32(0.3), 8000)) == pytest.approx(
        astuple(plain), rel=1e-3
    )
    clipped = whole(np.clip(4 * samples, -0.5, 0.5), 8000)
    assert clipped.pitch_hz == pytest.approx(plain.pitch_hz, rel=0.02)


def test_half_the_speed_is_half_the_rate_and_pauses_do_not_count_for_it() -> None:
    def said(stretch: float, pause_s: float) -> Prosody:
        part = tone(160, stretch * 0.6, 8000)
        samples = np.concatenate([part, silence(pause_s, 8000), part])
        second_s = stretch * 0.6 + pause_s
        words = (
            Word("我", 0.0, stretch * 0.3),
            Word("要", stretch * 0.3, stretch * 0.6),
            Word("办", second_s, second_s + stretch * 0.3),
            Word("卡", second_s + stretch * 0.3, second_s + stretch * 0.6),
        )
        return whole(samples, 8000, words)

    assert said(1, 0.5).rate == pytest.approx(4 / 1.2, rel=0.05)
    assert said(2, 0.5).rate == pytest.approx(4 / 2.4, rel=0.05)
    assert said(1, 1.0).rate == pytest.approx(said(1, 0.5).rate, rel=0.05)
    assert said(1, 0.5).pause == pytest.approx(0.5 / 1.7, abs=0.04)
    # The closure of a plosive is no pause.
    assert said(1, 0.1).pause == 0


def test_a_word_is_measured_by_itself_and_has_the_pause_before_it() -> None:
    samples = np.concatenate(
        [tone(120, 0.4, 8000), silence(0.5, 8000), tone(240, 0.4, 8000, power=0.04)]
    )
    words = (Word("不", 0.0, 0.4), Word("行", 0.9, 1.3))
    _, (first, second) = prosody(samples, 8000, (Span(0.0, 0.4), Span(0.9, 1.3)), words)
    assert first.pitch_hz == pytest.approx(120, rel=0.03)
    assert second.pitch_hz == pytest.approx(240, rel=0.03)
    assert second.level_db - first.level_db == pytest.approx(6, abs=0.5)
    assert (first.pause, second.pause) == (0, pytest.approx(0.5 / 0.9, abs=0.02))
    assert first.rate == pytest.approx(2.5)


@pytest.mark.parametrize("samples", [silence(1, 8000), silence(0.01, 8000), silence(0, 8000)])
def test_silence_has_no_sound_nor_have_its_words(samples: Wave) -> None:
    assert prosody(samples, 8000, (Span(0.0, 1.0),), (Word("嗯", 0.2, 0.4),)) == (
        NO_SOUND,
        (NO_SOUND,),
    )
    assert prosody(tone(150, 1.0, 8000), 8000, (), ()) == (NO_SOUND, ())


def test_noise_is_loud_and_has_no_pitch() -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(8000)
    found = whole(noise.astype(np.float32), 8000)
    assert not found.voiced
    assert (found.pitch_hz, found.range_st) == (0, 0)
    assert found.level_db == pytest.approx(-20, abs=0.5)


def test_a_word_outside_of_the_sound_is_unheard() -> None:
    _, (found,) = prosody(tone(150, 1.0, 8000), 8000, (Span(0.0, 1.0),), (Word("卡", 3.0, 3.2),))
    assert found == NO_SOUND


@pytest.mark.parametrize(
    ("text", "count"),
    [("信用卡", 3), ("APP", 1), ("banana", 3), ("3", 1), ("hmm", 1), ("，", 0), ("ok啊", 2)],
)
def test_syllables(text: str, count: int) -> None:
    assert syllables_of((Word(text, 0, 1),)) == count
