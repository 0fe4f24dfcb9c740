"""Sentences of one call: times, tones, what is no sentence, and going on with a call."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from persona_ray.audio.prosody import NO_SOUND, Prosody
from persona_ray.audio.vad import Span
from persona_ray.config.assist import EarsConfig
from persona_ray.conversation import Speaker, Tone
from persona_ray.inference.assist.crosstalk import OwnSpeech
from persona_ray.inference.assist.hearing import Heard
from persona_ray.inference.assist.records import NotHeard, Sentence
from persona_ray.inference.assist.tone_words import in_words
from persona_ray.inference.assist.turns import Turns
from persona_ray.types import Word

CONFIG = EarsConfig()
SOUND = Prosody(
    speech_s=2.0, level_db=-26.0, pitch_hz=180.0, range_st=6.0, voiced=True, rate=4.5, pause=0.05
)
RAISED = replace(SOUND, level_db=-16.0, pitch_hz=240.0, rate=6.5)


def own(start_s: float = 10.0, overlap: float = 0.0) -> OwnSpeech:
    samples = np.zeros(24_000, dtype=np.float32)
    return OwnSpeech(samples, 8000, start_s, (Span(0.4, 1.0), Span(1.2, 2.6)), overlap)


def heard(text: str, sound: Prosody = SOUND) -> Heard:
    words = tuple(Word(letter, 0.4 + at / 10, 0.5 + at / 10) for at, letter in enumerate(text))
    return Heard(words, (replace(sound, speech_s=0.1),) * len(words), sound)


def said(found: Sentence | NotHeard) -> Sentence:
    assert isinstance(found, Sentence)
    return found


def test_a_sentence_has_the_times_of_its_speech_and_words_in_the_call() -> None:
    found = said(Turns(CONFIG).turn(Speaker.CUSTOMER, own(), heard("太贵了")))
    assert (found.speaker, found.text) == (Speaker.CUSTOMER, "太贵了")
    assert (found.start_s, found.end_s) == (10.4, 12.6)
    assert [word.text for word in found.words] == ["太", "贵", "了"]
    assert (found.words[1].start_s, found.words[1].end_s) == pytest.approx((10.5, 10.6))
    assert len(found.tones) == 3


def test_each_speaker_has_a_baseline_of_their_own() -> None:
    turns = Turns(CONFIG)
    for _ in range(5):
        turns.turn(Speaker.AGENT, own(), heard("您好", RAISED))
        turns.turn(Speaker.CUSTOMER, own(), heard("你好", SOUND))
    agent = said(turns.turn(Speaker.AGENT, own(), heard("您好", RAISED)))
    customer = said(turns.turn(Speaker.CUSTOMER, own(), heard("太贵了", RAISED)))
    assert agent.tone.level_db < 3 < 6 < customer.tone.level_db
    assert customer.tones[0].level_db > 6
    assert customer.tone.sure == 1


def test_what_is_talked_over_sounds_like_nothing_and_moves_no_baseline() -> None:
    turns = Turns(CONFIG)
    found = said(turns.turn(Speaker.CUSTOMER, own(overlap=0.5), heard("太贵了", RAISED)))
    assert found.overlapped
    assert (found.tone, found.tones) == (Tone(), (Tone(),) * 3)
    assert turns.dump()["customer"] == []
    assert not said(turns.turn(Speaker.CUSTOMER, own(overlap=0.4), heard("好"))).overlapped


@pytest.mark.parametrize(
    "nothing",
    [
        heard(""),
        heard("，。"),
        heard("字幕由志愿者提供"),
        heard("谢谢观看"),
        heard("嗯", replace(SOUND, voiced=False, level_db=-70.0)),
        heard("嗯", NO_SOUND),
        heard("请您稍等", replace(SOUND, rate=40.0)),
    ],
)
def test_what_a_recogniser_makes_up_is_no_sentence(nothing: Heard) -> None:
    turns = Turns(CONFIG)
    assert turns.turn(Speaker.CUSTOMER, own(), nothing) == NotHeard(10.4, 12.6, "no_words")
    assert turns.dump()["customer"] == []


def test_a_whisper_is_a_sentence() -> None:
    whisper = replace(SOUND, voiced=False, pitch_hz=0.0, level_db=-45.0)
    assert said(Turns(CONFIG).turn(Speaker.CUSTOMER, own(), heard("好的", whisper))).text == "好的"


def test_people_read_what_is_not_as_usual() -> None:
    tone = Tone(pitch_st=3.5, level_db=-2.5, pause=0.01, rate=0.2, voiced=True, sure=1.0)
    assert in_words(tone, "en") == ("much higher", "quieter", "faster")
    assert in_words(tone, "zh") == ("明显音调偏高", "声音偏小", "语速偏快")
    assert in_words(replace(tone, voiced=False), "en") == ("quieter", "faster")
    assert in_words(Tone(), "zh") == ()


def test_a_call_goes_on_from_its_dump() -> None:
    turns = Turns(CONFIG)
    for sound in (SOUND, RAISED, SOUND):
        turns.turn(Speaker.CUSTOMER, own(), heard("你好", sound))
    again = Turns.read(CONFIG, json.loads(json.dumps(turns.dump())))
    one, other = (each.turn(Speaker.CUSTOMER, own(), heard("你好")) for each in (turns, again))
    assert said(one).tone.level_db == pytest.approx(said(other).tone.level_db, abs=0.01)
    assert Turns.read(CONFIG, {}).dump() == Turns(CONFIG).dump()
