"""How a customer's sentence follows from the last turns: by rules over a list of words.

Looked at in this order, the first that holds is it: repetition, a new topic that is announced,
consent, an answer that tells something, what the customer owns (a statement), refusal, question,
objection, agreement, any other answer, a new topic that is not announced, statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict

from persona_ray.asr.text import normalise
from persona_ray.conversation import Relation, Speaker

if TYPE_CHECKING:
    from persona_ray.inference.assist.records import Sentence

# Two sentences are one that is repeated, if their pairs of characters are so alike (Dice).
_SAME = 0.6
# Shorter ones are alike by chance.
_LEAST_CHARACTERS = 5
# A yes is no longer than this.
_YES_CHARACTERS = 4
# Turns that are looked back on: for repetition, and for the topic.
_BACK, _TOPIC_BACK = 12, 4
# What ends in a mark, with it. An echo of what the agent said is no longer than this.
_CLAUSES = re.compile(r"[^。！？!?；;]+[。！？!?；;]?")
_ECHO_CHARACTERS = 5
_NEGATIONS = ("不", "没", "别", "不太", "不算", "没有")


class Phrases(BaseModel):
    """Phrases, and regular expressions of what has too many wordings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phrases: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...] = ()


class RelationWords(BaseModel):
    """What the rules look for; see `relations_zh.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question_ends: tuple[str, ...]
    questions: Phrases
    no_questions: tuple[str, ...]
    consents: tuple[str, ...]
    owns: tuple[str, ...]
    tells: tuple[str, ...]
    refusals: Phrases
    objections: Phrases
    agreements: tuple[str, ...]
    affirmations: frozenset[str]
    proposals: tuple[str, ...]
    again: tuple[str, ...]
    changes: tuple[str, ...]
    topics: dict[str, tuple[str, ...]]


@cache
def shipped_words() -> RelationWords:
    """Of calls in Chinese that sell finance."""
    text = files("persona_ray.inference.assist").joinpath("relations_zh.yaml").read_text("utf-8")
    return RelationWords.model_validate(yaml.safe_load(text))


def relation_of(
    text: str, before: Sequence[Sentence], words: RelationWords | None = None
) -> Relation:
    """Of what the customer says after the turns `before`, oldest first; `words` None: the shipped
    ones."""
    words = words or shipped_words()
    said = normalise(text)
    if _repeats(said, before[-_BACK:], words):
        return Relation.REPETITION
    if _has(said, words.changes):
        return Relation.TOPIC_CHANGE
    if _has_affirmed(said, words.consents):
        return Relation.AGREEMENT
    asked = bool(before) and before[-1].speaker is Speaker.AGENT and asks(before[-1].text, words)
    if asked and _has(said, words.tells):
        return Relation.ANSWER
    if _has(said, words.owns):
        return Relation.STATEMENT
    if _against(said, words.refusals):
        return Relation.OBJECTION
    if said not in words.affirmations and asks(text, words):
        return Relation.QUESTION
    if _against(said, words.objections):
        return Relation.OBJECTION
    if _agrees(said, before, words):
        return Relation.AGREEMENT
    if asked:
        return Relation.ANSWER
    if _changes_topic(said, before[-_TOPIC_BACK:], words):
        return Relation.TOPIC_CHANGE
    return Relation.STATEMENT


def asks(text: str, words: RelationWords) -> bool:
    """Whether a text asks something. A recogniser often leaves out the question mark; a short echo
    of what was heard (`是吗？`) asks nothing, where more is said."""
    clauses = [part for part in _CLAUSES.findall(text) if normalise(part)]
    return any(_clause_asks(clause, words, len(clauses) == 1) for clause in clauses)


def _clause_asks(clause: str, words: RelationWords, alone: bool) -> bool:
    said = normalise(clause)
    for phrase in words.no_questions:
        said = said.replace(phrase, "")
    if _has(said, words.questions.phrases) or _matches(said, words.questions.patterns):
        return True
    marked = clause.rstrip().endswith(("?", "？")) or said.endswith(words.question_ends)
    return marked and (alone or len(said) > _ECHO_CHARACTERS)


def _repeats(said: str, before: Sequence[Sentence], words: RelationWords) -> bool:
    own = [normalise(one.text) for one in before if one.speaker is Speaker.CUSTOMER]
    if not own:
        return False
    if _has(said, words.again):
        return True
    return len(said) >= _LEAST_CHARACTERS and any(_alike(said, one) >= _SAME for one in own)


def _agrees(said: str, before: Sequence[Sentence], words: RelationWords) -> bool:
    if said not in words.affirmations and len(said) > _YES_CHARACTERS:
        return _has_affirmed(said, words.agreements)
    last = before[-1] if before and before[-1].speaker is Speaker.AGENT else None
    proposed = last is not None and _has(normalise(last.text), words.proposals)
    asked = last is not None and asks(last.text, words)
    yes = said in words.affirmations or _has_affirmed(said, words.agreements)
    return yes and (proposed or not asked)


def _changes_topic(said: str, before: Sequence[Sentence], words: RelationWords) -> bool:
    """It speaks of something that finance calls are about, and the last turns of something else."""
    now = _topics(said, words)
    then = _topics("".join(normalise(one.text) for one in before), words)
    return bool(now and then) and not now & then


def _topics(said: str, words: RelationWords) -> set[str]:
    return {topic for topic, named in words.topics.items() if _has(said, named)}


def _has(said: str, phrases: Iterable[str]) -> bool:
    return any(phrase in said for phrase in phrases)


def _against(said: str, what: Phrases) -> bool:
    return _has_affirmed(said, what.phrases) or _matches(said, what.patterns)


def _matches(said: str, patterns: Iterable[re.Pattern[str]]) -> bool:
    return any(pattern.search(said) for pattern in patterns)


def _has_affirmed(said: str, phrases: Iterable[str]) -> bool:
    """Whether one of `phrases` stands in `said` without a negation before it."""
    for phrase in phrases:
        at = said.find(phrase)
        while at >= 0:
            if not said[:at].endswith(_NEGATIONS):
                return True
            at = said.find(phrase, at + 1)
    return False


def _alike(one: str, other: str) -> float:
    """Dice's coefficient of pairs of characters, 0 to 1."""
    pairs, others = ({text[at : at + 2] for at in range(len(text) - 1)} for text in (one, other))
    return 2 * len(pairs & others) / max(len(pairs) + len(others), 1)
