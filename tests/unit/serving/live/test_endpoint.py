"""Utterances end where the whole call says they do, whatever the pieces it comes in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from persona_ray.asr.utterances import utterances
from persona_ray.audio.vad import Span, VoiceActivity
from persona_ray.config.corpus import VadConfig
from persona_ray.config.serving import LiveConfig
from persona_ray.serving.live.endpoint import Checkpoint, Cut, Endpointer, Utterance
from tests.unit.serving.live.sounds import RATE_HZ, loud_voice, recorded, talk

LIVE = LiveConfig(end_gap_s=0.9, max_utterance_s=1000)
# How recognisers group and widen speech.
UNITS = {"gap_s": 0.5, "max_s": 15.0, "keep_s": 0.4}


def run(
    voice: VoiceActivity,
    sound: NDArray[np.float32],
    cuts: list[int] | None = None,
    live: LiveConfig = LIVE,
    begin: int = 0,
    checkpoint: Checkpoint | None = None,
) -> list[Cut]:
    endpointer = Endpointer(voice, live, RATE_HZ, begin, checkpoint)
    found: list[Cut] = []
    for piece in np.split(sound, sorted({cut % (len(sound) + 1) for cut in cuts or []})):
        found += endpointer.push(piece)
    return [*found, *endpointer.finish()]


def spoken(cuts: list[Cut]) -> list[Utterance]:
    return [cut.utterance for cut in cuts if cut.utterance is not None]


def speech_of(found: list[Utterance]) -> list[tuple[float, float]]:
    return [
        (round(item.start_s + span.start_s, 6), round(item.start_s + span.end_s, 6))
        for item in found
        for span in item.speech
    ]


def same(one: list[Utterance], two: list[Utterance]) -> None:
    assert len(one) == len(two)
    for left, right in zip(one, two, strict=True):
        assert (left.start_s, left.speech) == (right.start_s, right.speech)
        np.testing.assert_array_equal(left.samples, right.samples)


talks = st.lists(
    st.tuples(
        st.sampled_from([0.05, 0.15, 0.3, 0.9, 2.5]), st.sampled_from([0.1, 0.3, 0.7, 1.05, 1.2, 3])
    ),
    max_size=8,
)
cuts_anywhere = st.lists(st.integers(0, 300_000), max_size=10)


@settings(max_examples=60)
@given(parts=talks, cuts=cuts_anywhere)
def test_utterances_are_the_calls_speech_divided_at_long_pauses(
    parts: list[tuple[float, float]], cuts: list[int]
) -> None:
    voice, sound = loud_voice(), talk(*parts)
    found = spoken(run(voice, sound, cuts))
    whole = voice.speech(sound, RATE_HZ)
    assert speech_of(found) == [(round(span.start_s, 6), round(span.end_s, 6)) for span in whole]
    for item in found:
        assert all(b.start_s - a.end_s < 0.9 for a, b in pairwise(item.speech))
        start = round(item.start_s * RATE_HZ)
        np.testing.assert_array_equal(item.samples, sound[start : start + len(item.samples)])
    for one, two in pairwise(found):
        pause_s = two.start_s + two.speech[0].start_s - one.start_s - one.speech[-1].end_s
        assert pause_s >= 0.9 - 1e-6


@pytest.mark.parametrize("cuts", [[], list(range(0, 400_000, 160)), [17, 9001, 9002, 70_003]])
def test_a_recogniser_hears_of_a_real_call_what_it_hears_of_its_recording(cuts: list[int]) -> None:
    """The same stretches of sound to decode, to the sample."""
    voice, sound = VoiceActivity(VadConfig()), recorded()
    found = spoken(run(voice, sound, cuts))
    assert len(found) > 3
    whole = voice.speech(sound, RATE_HZ)
    expected = [
        sound[round(span.start_s * RATE_HZ) : round(span.end_s * RATE_HZ)]
        for span in utterances(sound, RATE_HZ, whole, **UNITS)
    ]
    heard = [
        item.samples[round(span.start_s * RATE_HZ) : round(span.end_s * RATE_HZ)]
        for item in found
        for span in utterances(item.samples, RATE_HZ, item.speech, **UNITS)
    ]
    assert len(heard) == len(expected)
    for one, two in zip(heard, expected, strict=True):
        np.testing.assert_array_equal(one, two)


@settings(max_examples=40)
@given(parts=talks, cuts=cuts_anywhere, at=st.integers(0, 100), early=st.integers(0, 5000))
def test_a_call_goes_on_from_any_checkpoint_as_if_unbroken(
    parts: list[tuple[float, float]], cuts: list[int], at: int, early: int
) -> None:
    live = LiveConfig(end_gap_s=0.9, max_utterance_s=2)
    voice, sound = loud_voice(), talk(*parts)
    unbroken = run(voice, sound, live=live)
    number = at % len(unbroken)
    checkpoint = unbroken[number].checkpoint
    begin = max(0, checkpoint.position - early)
    if number < len(unbroken) - 1:
        again = run(voice, sound[begin:], cuts, live, begin, checkpoint)
        same(spoken(again), spoken(unbroken[number + 1 :]))


def test_a_real_call_goes_on_from_every_checkpoint() -> None:
    voice, sound = VoiceActivity(VadConfig()), recorded()
    live = LiveConfig(end_gap_s=0.6, max_utterance_s=4)
    unbroken = run(voice, sound, live=live)
    for number, cut in enumerate(unbroken[:-1]):
        begin = cut.checkpoint.position
        again = run(voice, sound[begin:], [], live, begin, cut.checkpoint)
        same(spoken(again), spoken(unbroken[number + 1 :]))


def test_speech_without_an_end_is_cut_at_its_widest_pause() -> None:
    sound = talk((1.5, 0.35), (2.0, 0.6), (1.2, 0.4), (3.0, 2.0))
    live = LiveConfig(end_gap_s=0.9, max_utterance_s=6)
    first, second = spoken(run(loud_voice(), sound, live=live))
    assert [len(first.speech), len(second.speech)] == [2, 2]
    whole = loud_voice().speech(sound, RATE_HZ)
    assert speech_of([first, second]) == [(round(s.start_s, 6), round(s.end_s, 6)) for s in whole]
    # Neither hears of the other.
    assert first.start_s + len(first.samples) / RATE_HZ <= second.start_s + 1e-3


def test_speech_without_a_pause_is_cut_where_it_is_quietest() -> None:
    sound = talk((9.0, 2.0))
    sound[round(4.6 * RATE_HZ) : round(4.8 * RATE_HZ)] *= 0.6
    live = LiveConfig(end_gap_s=0.9, max_utterance_s=5)
    first, second = spoken(run(loud_voice(), sound, live=live))
    end_s = first.start_s + first.speech[-1].end_s
    assert 4.6 < end_s < 4.8
    assert second.start_s + second.speech[0].start_s == pytest.approx(end_s, abs=1e-6)
    (whole,) = loud_voice().speech(sound, RATE_HZ)
    assert second.start_s + second.speech[-1].end_s == pytest.approx(whole.end_s, abs=1e-6)


def test_a_short_rest_of_speech_that_was_cut_is_kept() -> None:
    sound = talk((5.1, 2.0))
    found = spoken(run(loud_voice(), sound, live=LiveConfig(end_gap_s=0.9, max_utterance_s=5)))
    (whole,) = loud_voice().speech(sound, RATE_HZ)
    assert sum(span.duration_s for item in found for span in item.speech) == pytest.approx(
        whole.duration_s, abs=1e-6
    )


def test_silence_says_nothing_and_is_settled() -> None:
    silence = np.zeros(RATE_HZ * 60, np.float32)
    found = run(loud_voice(), silence, list(range(0, len(silence), 160)))
    assert spoken(found) == []
    settled_s = [cut.checkpoint.position / RATE_HZ for cut in found]
    assert len(settled_s) == 6
    assert all(10 <= b - a < 11 for a, b in pairwise(settled_s[:-1]))


def test_what_is_being_said_can_be_heard_before_it_ends() -> None:
    sound = talk((0.1, 1.0), (2.0, 0.6), (1.0, 3.0))
    endpointer = Endpointer(loud_voice(), LIVE, RATE_HZ)
    seen = []
    for piece in np.split(sound, range(800, len(sound), 800)):
        ended = spoken(endpointer.push(piece))
        seen.append((endpointer.speech_s, endpointer.so_far(), ended))
    before = [so_far for _, so_far, ended in seen if not ended]
    assert before[5] is None  # a click is no speech
    longest = max((item for item in before if item is not None), key=lambda x: len(x.samples))
    (final,) = [item for _, _, ended in seen for item in ended]
    assert longest.start_s == final.start_s
    assert [span.start_s for span in longest.speech] == [span.start_s for span in final.speech]
    assert max(speech_s for speech_s, _, _ in seen) == pytest.approx(3.0, abs=0.1)
    assert seen[-1][1] is None


def test_an_utterance_is_given_as_much_sound_as_its_recogniser_wants() -> None:
    found = spoken(run(loud_voice(), talk((1.0, 1.5), (1.0, 1.5))))
    for item in found:
        assert isinstance(item.speech[0], Span)
        assert item.speech[0].start_s >= min(0.4, item.speech[0].start_s + item.start_s)
        assert len(item.samples) / RATE_HZ - item.speech[-1].end_s >= 0.4
