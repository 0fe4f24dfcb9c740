"""How what the lexicon says and what a model says become one mood."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.conversation import Emotion, Speaker, Tone
from persona_ray.evaluation.emotions import Told, fitted_weight, told, weight_curve
from persona_ray.inference.assist.emotion.combine import MoodReader, Weights
from persona_ray.inference.assist.emotion.distribution import VALENCES, from_strengths
from persona_ray.inference.assist.emotion.examples import Labelled
from persona_ray.inference.assist.emotion.lexicon import load_lexicon
from persona_ray.inference.assist.emotion.model import without_sound
from persona_ray.inference.assist.emotion.sounding import Sounding, sound_words
from persona_ray.inference.assist.records import Probabilities, Sentence
from persona_ray.types import Word

LEXICON = load_lexicon(None)
LOUD = Tone(2.4, 0.0, 6.0, 0.3, 0.0, voiced=True, sure=1.0)


class Heard:
    """In place of a model: who is loud is angry. Keeps what it was asked."""

    name = "heard"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def probabilities(self, texts: Sequence[str]) -> list[Probabilities]:
        self.asked = list(texts)
        felt = {True: {Emotion.ANGRY: 0.9}, False: {}}
        return [from_strengths(felt["响" in text.split("\n")[0]]) for text in texts]


def sentence(text: str, tone: Tone = Tone(), words: tuple[Word, ...] = ()) -> Sentence:  # noqa: B008
    tones = tuple(LOUD if word.text == "忙" else Tone() for word in words)
    return Sentence(Speaker.CUSTOMER, text, 0.0, 1.0, tone, words, tones)


def test_both_parts_are_mixed_by_their_weights() -> None:
    mood = MoodReader(LEXICON, Heard(), Weights(0.4)).mood(sentence("我很满意", LOUD))
    for felt in Emotion:
        expected = 0.4 * mood.lexicon[felt] + 0.6 * mood.model[felt]
        assert mood.combined[felt] == pytest.approx(expected)
        (word,) = mood.keywords
        expected = 0.4 * word.lexicon[felt] + 0.6 * word.model[felt]
        assert word.combined[felt] == pytest.approx(expected)
    assert mood.valence == pytest.approx(sum(VALENCES[e] * p for e, p in mood.combined.items()))


def test_without_a_model_the_lexicon_answers_alone() -> None:
    reader = MoodReader(LEXICON, None, Weights())
    mood = reader.mood(sentence("太烦了", LOUD))
    assert mood.combined == mood.lexicon
    assert mood.model == {}
    assert mood.emotion is Emotion.ANNOYED
    assert reader.name == "lexicon 1"
    assert reader.mood(sentence("")).emotion is Emotion.NEUTRAL


def test_a_keyword_is_read_with_the_sound_of_its_own_words() -> None:
    words = tuple(Word(char, at / 10, at / 10 + 0.1) for at, char in enumerate(" 我在忙"))
    model = Heard()
    MoodReader(LEXICON, model, Weights()).mood(sentence("我在忙", words=words))
    whole, keyword = model.asked
    assert whole == "\n我在忙"
    # 在忙 are two words, of which one is loud: half of it.
    assert keyword == "\n高高响响快\n在忙\n我在忙"
    assert without_sound(whole) == "我在忙"
    assert without_sound(keyword) == "在忙\n我在忙"


@given(st.floats(0, 20), st.floats(0, 20))
def test_more_of_a_feature_is_said_with_more_letters(one: float, other: float) -> None:
    low, high = sorted((one, other))
    written = [sound_words(Tone(level_db=level)) for level in (low, high)]
    assert written[1].startswith(written[0])
    assert set(written[1]) <= {"响"}
    assert sound_words(Tone(level_db=-high)) == "轻" * len(written[1])


def test_pitch_that_was_not_there_is_not_spoken_of() -> None:
    assert sound_words(Tone(5.0, 5.0, 0.0, 0.0, 0.0, voiced=False)) == ""


def labelled(felt: Emotion, text: str, tone: Tone) -> Labelled:
    return Labelled(f"{text}-{felt}", "u", Sounding(text, tone), felt)


def test_the_weight_goes_to_the_part_that_is_right() -> None:
    calm = [
        labelled(Emotion.PLEASED, "我很满意", Tone()),
        labelled(Emotion.ANNOYED, "太烦了", Tone()),
    ]
    loud = [labelled(Emotion.ANGRY, "我姓王", LOUD), labelled(Emotion.ANGRY, "卡在家", LOUD)]

    def fitted(rows: Sequence[Told]) -> float:
        return fitted_weight(weight_curve(rows))

    of_words, of_sound = told(calm, LEXICON, Heard()), told(loud, LEXICON, Heard())
    assert fitted(of_words) == 1.0
    assert fitted(of_sound) == 0.0
    assert 0.0 < fitted([*of_words, *of_sound]) < 1.0
    with pytest.raises(ValueError, match="one labelled sentence"):
        weight_curve([])
