"""The dialogue robot: it understands a turn by its meaning, and answers from the dialogue set."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.inference.screening.dialogue.dialogue_set import (
    ANY,
    DialogueSet,
    Exchange,
    load_dialogue_set,
)
from persona_ray.inference.screening.dialogue.nearest import Nearest
from persona_ray.inference.screening.dialogue.sentences import SentenceVectors, build_vectors
from persona_ray.inference.screening.records import LineKind, Speaker

if TYPE_CHECKING:
    from persona_ray.config.screening import DialogueConfig
    from persona_ray.inference.screening.records import CategoryJudgement, Turn

# From which probability on a call is spoken to as one of its category.
_SURE = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said, and why: the exchange and its nearness; `exchange` is empty where none was
    near enough, and the caller is asked to go on."""

    text: str
    exchange: str
    nearness: float


class DialogueLines:
    """Implements the seam `Lines`: what needs no understanding."""

    def __init__(self, dialogue: DialogueSet) -> None:
        self.dialogue = dialogue

    def line(self, kind: LineKind, turns: Sequence[Turn]) -> str:
        """What the robot says of itself."""
        said = [turn.text for turn in turns if turn.speaker is Speaker.ROBOT]
        return _fresh(self.dialogue.lines(kind), said)


class DialogueRobot(DialogueLines):
    """Implements the seams `Robot` and `Lines`. It keeps nothing of a call: all it knows of one is
    in the turns that it is given, so that any replica can answer the next."""

    def __init__(
        self, dialogue: DialogueSet, vectors: SentenceVectors, threshold: float, steering: float
    ) -> None:
        """`threshold` and `steering` as in the configuration."""
        super().__init__(dialogue)
        self._nearest = Nearest(dialogue, vectors)
        self._threshold = threshold
        self._steering = steering
        self.name = f"{dialogue.name}/{vectors.name}"

    async def answer(self, turns: Sequence[Turn], judgement: CategoryJudgement | None) -> str:
        """What to say after `turns`, the caller's last. In a thread: milliseconds of arithmetic."""
        return (await asyncio.to_thread(self.think, turns, judgement)).text

    def think(self, turns: Sequence[Turn], judgement: CategoryJudgement | None) -> Answer:
        """The same, with its reason. The same turns have the same answer."""
        said = [turn.text for turn in turns if turn.speaker is Speaker.ROBOT]
        heard = [turn.text for turn in turns if turn.speaker is Speaker.CALLER]
        probabilities = {} if judgement is None else judgement.probabilities
        category = ANY
        if judgement is not None and probabilities[judgement.category] >= _SURE:
            category = judgement.category
        if not heard or not heard[-1].strip():
            return Answer(_fresh(self.dialogue.repeats, said), "", 0.0)
        ranked = self._nearest.of(heard[-1], probabilities, self._steering)
        # The category chooses among what is near; it makes nothing near.
        near = next((one for one in ranked if one.nearness >= self._threshold), None)
        if near is None:
            nearest = max(one.nearness for one in ranked)
            return Answer(self._go_on(category, said), "", nearest)
        return Answer(self._of(near.exchange, category, said), near.exchange.id, near.nearness)

    def _of(self, exchange: Exchange, category: str, said: Sequence[str]) -> str:
        if all(text in said for text in exchange.answers):
            # A caller who goes round in circles is led on, not answered the same again.
            return self._go_on(exchange.category or category, said)
        return _fresh(exchange.answers, said)

    def _go_on(self, category: str, said: Sequence[str]) -> str:
        lines = self.dialogue.go_on
        own = lines.get(category, ())
        unsaid = [text for text in own if text not in said]
        return unsaid[0] if unsaid else _fresh((*lines[ANY], *own), said)


def _fresh(texts: Sequence[str], said: Sequence[str]) -> str:
    """The first of `texts` that was not said yet, else the one said longest ago: with two or more,
    never the last one said."""
    last = {text: place for place, text in enumerate(said)}
    return min(texts, key=lambda text: last.get(text, -1))


def build_lines(config: DialogueConfig, categories: Collection[str]) -> DialogueLines:
    """What the robot of a configuration says of itself; no vectors are loaded. Raises ConfigError,
    with file and line where the set is wrong."""
    return DialogueLines(load_dialogue_set(config.set, categories))


def build_robot(config: DialogueConfig, categories: Collection[str]) -> DialogueRobot:
    """The robot of a configuration: its set is read and checked, its vectors are loaded (seconds).

    `categories` are those of the policy. Raises ConfigError, with file and line where the set is
    wrong.
    """
    dialogue = load_dialogue_set(config.set, categories)
    wordings = [text for exchange in dialogue.exchanges for text in exchange.says]
    vectors = build_vectors(config.sentences, wordings)
    threshold = vectors.threshold if config.threshold is None else config.threshold
    return DialogueRobot(dialogue, vectors, threshold, config.steering)
