"""What the log keeps of a suggestion is what a ranker is judged and trained by."""

from __future__ import annotations

import json
from dataclasses import replace

from persona_ray.conversation import Emotion, Relation, Scene, Speaker, Tone
from persona_ray.inference.assist.journal import context_json, read_context
from persona_ray.inference.assist.records import (
    KeywordEmotion,
    Mood,
    Sentence,
    SpeechInformation,
)
from persona_ray.types import Word


def test_the_context_comes_back_without_words_of_turns_before() -> None:
    shares = {emotion: 0.02 + 0.8 * (emotion is Emotion.DOUBTFUL) for emotion in Emotion}
    tone = Tone(1.5, 2.0, -3.0, 0.25, 0.1, voiced=True, sure=0.5)
    words = (Word("太", 0.0, 0.25), Word("贵", 0.25, 0.5))
    said = Sentence(Speaker.CUSTOMER, "太贵", 0.0, 0.5, tone, words, (tone, Tone()))
    keyword = KeywordEmotion("贵", 1, 2, 0.5, shares, shares, shares)
    found = SpeechInformation(
        said,
        Scene("loan", "offer", "spring"),
        Relation.OBJECTION,
        Mood(shares, shares, shares, -0.25, (keyword,)),
        (replace(said, speaker=Speaker.AGENT),),
        {"red": 0.75, "blue": 0.25},
    )
    kept = json.loads(json.dumps(context_json(found)))
    before = replace(said, speaker=Speaker.AGENT, words=(), tones=())
    assert read_context(kept) == replace(found, before=(before,))
