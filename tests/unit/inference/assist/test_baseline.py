"""Tones beside a baseline that is not known at first."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from persona_ray.audio.prosody import NO_SOUND, Prosody
from persona_ray.conversation import Tone
from persona_ray.inference.assist.baseline import Baseline

CALM = Prosody(
    speech_s=2.0, level_db=-26.0, pitch_hz=120.0, range_st=6.0, voiced=True, rate=5.0, pause=0.05
)
ANGRY = replace(CALM, level_db=-18.0, pitch_hz=160.0, range_st=9.0, rate=7.0)


def after(*said: Prosody, baseline_s: float = 6.0) -> Baseline:
    found = Baseline(baseline_s)
    for one in said:
        found.add(one)
    return found


def tone(baseline: Baseline, sound: Prosody) -> Tone:
    return baseline.tones(sound, ())[0]


def test_who_is_known_sounds_as_usual_or_otherwise_by_as_much_as_it_was() -> None:
    known = after(*[CALM] * 20)
    usual = tone(known, CALM)
    assert usual.sure == 1
    assert abs(usual.pitch_st) < 0.5
    assert abs(usual.level_db) < 0.5
    raised = tone(known, ANGRY)
    assert raised.pitch_st == pytest.approx(12 * 0.415, rel=0.2)
    assert raised.level_db == pytest.approx(8, rel=0.3)
    assert raised.rate == pytest.approx(0.485, rel=0.3)
    assert raised.range_st == pytest.approx(3, rel=0.3)


def test_a_first_sentence_says_little_of_its_pitch_and_more_of_its_rate() -> None:
    nobody = Baseline(6.0)
    woman, man = (tone(nobody, replace(CALM, pitch_hz=hz)) for hz in (225.0, 120.0))
    assert woman.sure == man.sure == 0
    assert max(abs(woman.pitch_st), abs(man.pitch_st)) < 1
    assert tone(nobody, ANGRY).rate > 0.25


def test_who_begins_angry_and_stays_so_is_not_taken_for_calm() -> None:
    baseline, rates, levels = Baseline(6.0), [], []
    for _ in range(15):
        found = tone(baseline, ANGRY)
        rates.append(found.rate)
        levels.append(found.level_db)
        baseline.add(ANGRY)
    assert min(rates) > 0.1
    assert min(levels) > 0.5
    # Who calms down sounds calmer than usual.
    assert tone(baseline, CALM).level_db < -4


def test_one_outburst_does_not_move_what_is_usual() -> None:
    many = [CALM] * 6
    without, with_one = after(*many), after(*many, ANGRY)
    assert tone(with_one, CALM) == tone(without, CALM)


@pytest.mark.parametrize("field", ["pitch_hz", "range_st", "level_db", "rate", "pause"])
@pytest.mark.parametrize("said", [0, 1, 8])
def test_more_of_a_feature_is_never_less_of_its_tone(field: str, said: int) -> None:
    baseline = after(*[CALM] * said)
    least, most = getattr(CALM, field) * 0.7, getattr(CALM, field) * 1.4
    lower, higher = sorted((least, most))
    below, above = (tone(baseline, replace(CALM, **{field: value})) for value in (lower, higher))
    name = {"pitch_hz": "pitch_st"}.get(field, field)
    assert getattr(below, name) < getattr(above, name)


def test_what_is_not_known_of_a_sound_is_as_usual() -> None:
    whisper = replace(CALM, voiced=False, pitch_hz=0.0, range_st=0.0, rate=0.0)
    found = tone(after(*[CALM] * 5), whisper)
    assert (found.pitch_st, found.range_st, found.rate, found.voiced) == (0, 0, 0, False)
    assert tone(Baseline(6.0), NO_SOUND) == Tone()
    assert after(NO_SOUND).sure == 0
    # Who only whispered has no pitch yet.
    assert abs(tone(after(*[whisper] * 9), replace(CALM, pitch_hz=225.0)).pitch_st) < 1


def test_a_baseline_goes_on_from_its_dump() -> None:
    baseline = after(CALM, ANGRY, replace(CALM, voiced=False, rate=0.0))
    again = Baseline.read(6.0, json.loads(json.dumps(baseline.dump())))
    for sound in (CALM, ANGRY):
        plain, read = tone(baseline, sound), tone(again, sound)
        assert read.pitch_st == pytest.approx(plain.pitch_st, abs=0.01)
        assert read.rate == pytest.approx(plain.rate, abs=0.01)
        assert read.sure == pytest.approx(plain.sure)


@pytest.mark.parametrize("kept", [[[2.0, 1.0]], [["x", 1, 1, 1, 1, 1]], [[1, 1, "?", 1, 1, 1]]])
def test_what_is_no_dump_is_a_value_error(kept: list[list[object]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Baseline.read(6.0, kept)


def test_speech_counts_by_its_length() -> None:
    short = replace(ANGRY, speech_s=0.3)
    mostly_calm = after(CALM, CALM, short, short, short)
    assert tone(mostly_calm, CALM).level_db == pytest.approx(0, abs=0.3)
