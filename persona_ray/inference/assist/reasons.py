"""Why a script is put before the agent: codes, and the line that a page shows of them.

A code is `kind=value`, as `relation=objection`. Topics and styles are the library owner's words and
are shown as they are, unless they are among the shipped library's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from persona_ray.conversation import Emotion

if TYPE_CHECKING:
    from persona_ray.inference.assist.records import Candidate, SpeechInformation

Language = Literal["zh", "en"]
EXPLORED = "explored=yes"
# A mood or colour that is less likely than this is no reason.
_LIKELY = 0.4

_WORDS: Mapping[Language, Mapping[str, str]] = {
    "zh": {
        "relation=question": "客户在询问",
        "relation=answer": "客户在回答",
        "relation=objection": "客户在质疑",
        "relation=agreement": "客户同意了",
        "relation=repetition": "客户又提起",
        "relation=topic_change": "客户换了话题",
        "relation=statement": "客户提到",
        "emotion=neutral": "语气平静",
        "emotion=pleased": "语气高兴",
        "emotion=interested": "有兴趣",
        "emotion=surprised": "感到意外",
        "emotion=doubtful": "心存怀疑",
        "emotion=worried": "有些担心",
        "emotion=disappointed": "有些失望",
        "emotion=annoyed": "语气不耐烦",
        "emotion=angry": "在生气",
        "colour=red": "红色性格",
        "colour=blue": "蓝色性格",
        "colour=yellow": "黄色性格",
        "colour=green": "绿色性格",
        "topic=price": "价格",
        "topic=fee": "收费",
        "topic=safety": "安全",
        "topic=no_time": "没时间",
        "topic=not_interested": "不感兴趣",
        "topic=already_have": "已经有了",
        "topic=family_decides": "要和家人商量",
        "topic=process": "办理流程",
        "topic=bad_experience": "以前的不好经历",
        "topic=interested": "想了解",
        "style=factual": "摆事实的话术",
        "style=soothing": "安抚式话术",
        "style=brief": "简短的话术",
        "style=lively": "活泼的话术",
        "style=personal": "贴心的话术",
        EXPLORED: "试一条别的话术",
    },
    "en": {
        "relation=question": "the customer asks",
        "relation=answer": "the customer answers",
        "relation=objection": "the customer objects",
        "relation=agreement": "the customer agrees",
        "relation=repetition": "the customer comes back to it",
        "relation=topic_change": "the customer changes the subject",
        "relation=statement": "the customer mentions",
        **{f"emotion={one.value}": f"sounds {one.value}" for one in Emotion},
        **{f"colour={one}": f"personality {one}" for one in ("red", "blue", "yellow", "green")},
        EXPLORED: "another script is tried",
    },
}


def because(
    information: SpeechInformation, candidate: Candidate, *, explored: bool
) -> tuple[str, ...]:
    """The codes of what speaks for a candidate, in the order in which the line says them: what the
    customer does and about what, how it sounds, who it is, what kind of script answers it."""
    script, mood = candidate.script, information.mood
    codes = [f"relation={information.relation.value}"]
    if script.topic:
        codes.append(f"topic={script.topic}")
    if mood.emotion is not Emotion.NEUTRAL and mood.combined[mood.emotion] >= _LIKELY:
        codes.append(f"emotion={mood.emotion.value}")
    colour, share = max(information.colour.items(), key=lambda one: one[1], default=("", 0.0))
    if share >= _LIKELY:
        codes.append(f"colour={colour}")
    if script.style:
        codes.append(f"style={script.style}")
    return (*codes, *([EXPLORED] if explored else []))


def in_words(codes: Sequence[str], language: Language) -> str:
    """One line: `客户在质疑收费，语气不耐烦；安抚式话术`. An unknown code says its value."""
    by_kind = {code.partition("=")[0]: _said(code, language) for code in codes}
    subject = [by_kind[kind] for kind in ("relation", "topic") if kind in by_kind]
    heard = [by_kind[kind] for kind in ("emotion", "colour") if kind in by_kind]
    answer = [by_kind[kind] for kind in ("style", "explored") if kind in by_kind]
    comma, semicolon, colon = ("，", "；", "") if language == "zh" else (", ", "; ", ": ")
    parts = (comma.join(filter(None, [colon.join(subject), *heard])), comma.join(answer))
    return semicolon.join(filter(None, parts))


def vocabulary(language: Language) -> Mapping[str, str]:
    """The codes that have words of their own, for pages."""
    return _WORDS[language]


def _said(code: str, language: Language) -> str:
    return _WORDS[language].get(code, code.partition("=")[2].replace("_", " "))
