"""Words and their sound, by a recogniser that is asked beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from persona_ray.audio.prosody import NO_SOUND
from persona_ray.audio.vad import Span
from persona_ray.errors import RecognitionError
from persona_ray.inference.assist.ears import RecognizerEars
from persona_ray.inference.assist.hearing import Heard
from persona_ray.types import Transcript, Word
from tests.unit.corpus.calls import RATE_HZ, voice

if TYPE_CHECKING:
    from persona_ray.types import Samples

WORDS = (Word("太", 0.5, 0.8), Word("贵", 0.8, 1.4), Word("了。", 1.6, 1.9))


class Recorded:
    name = "recorded"

    def __init__(self, words: tuple[Word, ...] = WORDS) -> None:
        self.words = words
        self.threads: set[int] = set()
        self.asked: list[tuple[int, int, tuple[Span, ...]]] = []

    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        self.asked.append((len(samples), rate_hz, tuple(speech)))
        self.threads.add(threading.get_ident())
        return Transcript(self.words, self.name)


class Broken(Recorded):
    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        super().transcribe(samples, rate_hz, speech)
        raise RecognitionError("broken failed")


def hear(ears: RecognizerEars, speech: Sequence[Span] = (Span(0.4, 2.0),)) -> Heard:
    return asyncio.run(ears.hear(voice(2.4), RATE_HZ, speech))


def test_every_word_has_its_sound_and_recognition_leaves_the_loop_alone() -> None:
    recognizer = Recorded()
    found = hear(RecognizerEars(recognizer))
    assert recognizer.asked == [(round(2.4 * RATE_HZ), RATE_HZ, (Span(0.4, 2.0),))]
    assert found.words == WORDS
    assert found.text == "太贵了。"
    assert len(found.sounds) == 3
    assert found.sound.voiced
    assert found.sounds[2].pause > 0.3 > found.sounds[1].pause
    assert recognizer.threads.isdisjoint({threading.get_ident()})


def test_without_speech_nobody_is_asked() -> None:
    recognizer = Recorded()
    assert hear(RecognizerEars(recognizer), ()) == Heard((), (), NO_SOUND)
    assert not recognizer.asked


def test_a_recogniser_that_fails_says_so() -> None:
    with pytest.raises(RecognitionError, match="broken"):
        hear(RecognizerEars(Broken()))


def test_warming_asks_the_recogniser_once() -> None:
    recognizer = Recorded(())
    RecognizerEars(recognizer).warm(RATE_HZ)
    assert [count for count, _, _ in recognizer.asked] == [RATE_HZ]
