"""A small planted world of emotion: what is said and how it sounds, each alone ambiguous."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields

from persona_ray.conversation import Emotion, Speaker, Tone
from persona_ray.corpus.conversations import Conversation, ConversationTurn, Marked

CALM = Tone(voiced=True, sure=1.0)
ANNOYED = Tone(1.5, 1.0, 5.0, 0.4, -0.05, voiced=True, sure=1.0)
GLAD = Tone(2.5, 3.5, 1.5, 0.05, 0.0, voiced=True, sure=1.0)
# Keyword in [ ], and what it shows by how it is said.
_HURRIED = [
    "我[忙着呢]",
    "我这会儿[很忙]",
    "现在[没空]",
    "你[别讲了]",
    "我在[忙]，[不用说了]",
    "[别说]了吧",
]
_GOOD = ["[好啊]", "[真好]啊", "那[挺好]", "[好呀]，这个[好]", "[很好]，[真不错]"]
_WORDS = {
    Emotion.PLEASED: ["我对你们很[满意]", "这个[太好了]", "[谢谢]你，[辛苦了]"],
    Emotion.ANNOYED: ["你们[烦不烦]", "又[打电话]，[有完没完]", "真是[讨厌]"],
    Emotion.NEUTRAL: [
        "我不是[不满意]",
        "我没有[生气]",
        "卡在家里",
        "我姓王",
        "下午再打吧",
        "身份证带了",
    ],
}


def conversations(count: int, seed: int = 0) -> list[Conversation]:
    """Calls of six turns of one customer each."""
    drawn = random.Random(seed)
    return [
        Conversation(
            id=f"c{seed}-{number}",
            customer=f"u{seed}-{number}",
            turns=tuple(_turns(drawn)),
        )
        for number in range(count)
    ]


def _turns(drawn: random.Random) -> Iterator[ConversationTurn]:
    for _ in range(2):
        heard = drawn.choice([CALM, ANNOYED])
        felt = Emotion.NEUTRAL if heard is CALM else Emotion.ANNOYED
        yield _turn(drawn, drawn.choice(_HURRIED), heard, felt)
        heard = drawn.choice([GLAD, ANNOYED])
        felt = Emotion.PLEASED if heard is GLAD else Emotion.ANNOYED
        yield _turn(drawn, drawn.choice(_GOOD), heard, felt)
        felt = drawn.choice(list(_WORDS))
        yield _turn(drawn, drawn.choice(_WORDS[felt]), CALM, felt)


def _turn(drawn: random.Random, marked: str, heard: Tone, felt: Emotion) -> ConversationTurn:
    text, keywords, start = "", [], 0
    for char in marked:
        if char == "[":
            start = len(text)
        elif char == "]":
            keywords.append(Marked(start=start, end=len(text), emotion=felt))
        else:
            text += char
    return ConversationTurn(
        speaker=Speaker.CUSTOMER,
        text=text,
        emotion=felt,
        tone=_scattered(drawn, heard),
        keywords=tuple(keywords),
    )


def _scattered(drawn: random.Random, tone: Tone) -> Tone:
    spread = {"pitch_st": 0.7, "range_st": 0.9, "level_db": 1.2, "rate": 0.08, "pause": 0.03}
    values = {f.name: getattr(tone, f.name) for f in fields(tone)}
    return Tone(**values | {name: values[name] + drawn.gauss(0, by) for name, by in spread.items()})
