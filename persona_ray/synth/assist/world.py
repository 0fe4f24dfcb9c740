"""Calls with planted customers: what they say and feel, which scripts they take, how it ends.

world = World(library.scripts)
call = world.call(rng, world.customer(rng, "u-1"), "loan")
while (turn := call.speak()) is not None:
    reaction = call.hear(chosen(turn))
call.outcome()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.conversation import Action, Emotion, Outcome, Rating, Relation
from persona_ray.errors import ConfigError
from persona_ray.synth.assist import moods, tastes, tones
from persona_ray.synth.assist.wording import Topic, Wording, load_wording, sentence, spoken
from persona_ray.synth.dialogues.scenes import Part
from persona_ray.synth.grammar import COLOURS

if TYPE_CHECKING:
    from persona_ray.conversation import Script, Tone

STEPS = ("opening", "needs", "offer", "objection", "closing")
_TURNS_OF_STEPS = ((1, 2), (1, 2), (1, 3), (0, 2), (1, 2))  # fewest and most
_ASKS_FIRST = {"needs"}  # topics that answer a question of the agent
_AGAIN = 0.5  # after a script on something else
_CHANGES = 0.08
_GOES = 0.5  # who is this far down hangs up
_DOWN = -0.85
_MOVES = {"suited": 0.30, "topic": -0.12, "else": -0.35}
_IMPATIENT = 1.4  # red's steps down
_RATED = 0.5
_EDITED = 0.25
_SURE_CHARACTERS = 28  # of a customer: six seconds, on which a baseline rests fully


@dataclass(frozen=True, slots=True)
class PlantedCustomer:
    """`known`: the colour is in the records of the customer."""

    id: str
    colour: str
    known: bool


@dataclass(frozen=True, slots=True)
class Keyword:
    """A word of a sentence that carries its mood, and how the word sounds."""

    start: int
    end: int
    emotion: Emotion
    tone: Tone


@dataclass(frozen=True, slots=True)
class PlantedTurn:
    """A customer's sentence and its truth.

    `asked`: what the agent said before it beside scripts, often nothing. `sounds`: the mood that
    its tone was drawn for. `expected`: probabilities of moods before it was said. `fits`: ids of
    scripts that suit, the best first.
    """

    text: str
    asked: str
    product: str
    step: str
    topic: str
    relation: Relation
    colour: str
    emotion: Emotion
    shown: moods.Shown
    sounds: Emotion
    clause: str
    expected: Mapping[Emotion, float]
    tone: Tone
    keywords: tuple[Keyword, ...]
    fits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reaction:
    """What came of a script: `score`, 0 to 100, is an agent's hindsight; `rating` None: none was
    given."""

    accepted: bool
    action: Action
    rating: Rating | None
    score: float


class World:
    """Planted truth over a library of scripts, with the wordings of one part."""

    def __init__(self, scripts: Mapping[str, Script], part: Part = Part.ALL) -> None:
        """Raises ConfigError where the library has no script for what customers speak of."""
        self.scripts = scripts
        self.wording: Wording = load_wording(part)
        self.products = tuple(self.wording.products)
        self.ways = {emotion: moods.ways(self.wording, emotion) for emotion in Emotion}
        self._by_topic: dict[tuple[str, str], list[Script]] = {}
        for script in scripts.values():
            for product in (script.product,) if script.product else self.products:
                self._by_topic.setdefault((product, script.topic), []).append(script)
        for product in self.products:
            for topic in self.wording.topics:
                have = {script.style for script in self._by_topic.get((product, topic), ())}
                if lacking := set(tastes.STYLES) - have:
                    raise ConfigError(
                        f"the library has no {min(lacking)} script for '{topic}' of '{product}': "
                        "planted customers need one of each style; take the shipped library"
                    )

    def customer(self, rng: np.random.Generator, customer_id: str) -> PlantedCustomer:
        """A draw; three in four colours are on record."""
        colour = COLOURS[int(rng.integers(len(COLOURS)))]
        return PlantedCustomer(customer_id, colour, bool(rng.random() < 0.75))

    def call(
        self, rng: np.random.Generator, customer: PlantedCustomer, product: str
    ) -> PlantedCall:
        """A call that begins."""
        return PlantedCall(self, rng, customer, product)

    def fits(
        self, product: str, step: str, topic: str, emotion: Emotion, colour: str
    ) -> tuple[str, ...]:
        """Scripts that suit and may be said in `step` after `emotion`, the best style first."""
        styles = tastes.suiting(emotion, colour)
        found = [
            script
            for script in self._by_topic[product, topic]
            if script.style in styles
            and emotion not in script.conditions.never
            and (not script.conditions.steps or step in script.conditions.steps)
        ]
        return tuple(s.id for s in sorted(found, key=lambda one: styles.index(one.style)))

    def accepts(self, turn: PlantedTurn, script: Script) -> float:
        """Probability that the customer takes `script` as the answer to `turn`."""
        return tastes.chance(turn.product, turn.topic, turn.emotion, turn.colour, script)


@dataclass(slots=True)
class PlantedCall:
    """One call, turn by turn: `speak`, then `hear` what the agent answers. `course`, -1 to 1: how
    it has gone so far."""

    world: World
    rng: np.random.Generator
    customer: PlantedCustomer
    product: str
    course: float = 0.0
    turns: list[PlantedTurn] = field(default_factory=list)
    _steps: list[str] = field(default_factory=list)
    _again: bool = False
    _gone: bool = False

    def __post_init__(self) -> None:
        for step, (fewest, most) in zip(STEPS, _TURNS_OF_STEPS, strict=True):
            self._steps += [step] * int(self.rng.integers(fewest, most + 1))

    def speak(self) -> PlantedTurn | None:
        """What the customer says next; None: the call has ended."""
        if self._gone or not self._steps:
            return None
        step, topic, again = self._next_topic()
        emotion, expected = self._feel(topic.name)
        wording = self.world.wording
        showing = moods.show(self.rng, self.world.ways[emotion])
        core = str(self.rng.choice(topic.wordings(self.product)))
        lead, relation = self._lead(topic, again)
        said = sentence(self.rng, wording, self.product, (lead, core, showing.clause))
        heard = sum(len(turn.text) for turn in self.turns)
        sure = min(1.0, heard / _SURE_CHARACTERS)
        tone = tones.draw(self.rng, showing.sounds, sure)
        turn = PlantedTurn(
            text=said.text,
            asked=self._asked(topic.name, again),
            product=self.product,
            step=step,
            topic=topic.name,
            relation=relation,
            colour=self.customer.colour,
            emotion=emotion,
            shown=showing.shown,
            sounds=showing.sounds,
            clause=showing.clause,
            expected=expected,
            tone=tone,
            keywords=tuple(
                Keyword(start, end, emotion, tones.of_keyword(self.rng, tone, showing.sounds))
                for start, end in said.marks
            ),
            fits=self.world.fits(self.product, step, topic.name, emotion, self.customer.colour),
        )
        self.turns.append(turn)
        return turn

    def hear(self, script: Script | None) -> Reaction:
        """How the customer takes the answer to the last turn; None: the agent had nothing to say.
        What it does to the call shows in later turns."""
        turn = self.turns[-1]
        chance = self.world.accepts(turn, script) if script is not None else 0.0
        accepted = bool(self.rng.random() < chance)
        on_topic = script is not None and chance > tastes.OTHER_TOPIC
        step = _MOVES["suited" if accepted else "topic" if on_topic else "else"]
        if step < 0 and self.customer.colour == "red":
            step *= _IMPATIENT
        self.course = float(np.clip(self.course + step, -1, 1))
        self._again = not on_topic and bool(self.rng.random() < _AGAIN)
        self._gone = self.course < _DOWN and bool(self.rng.random() < _GOES)
        return self._reaction(accepted, chance)

    def outcome(self) -> Outcome:
        """What the call came to, once it has ended."""
        if self._gone:
            return Outcome.HUNG_UP
        agreed = self.turns[-1].topic == "agree"
        chance = 1 / (1 + np.exp(-3.0 * (self.course - (0.1 if agreed else 0.8))))
        if self.rng.random() < chance:
            return Outcome.AGREED
        return Outcome.CALLBACK if self.rng.random() < 0.5 + self.course / 2 else Outcome.DECLINED

    def _next_topic(self) -> tuple[str, Topic, bool]:
        topics = self.world.wording.topics
        if self._again:
            # The step is gone on with once what was asked is answered.
            last = self.turns[-1]
            self._again = False
            return last.step, topics[last.topic], True
        step = self._steps.pop(0)
        spoken_of = {turn.topic for turn in self.turns}
        open_topics = [one for one in topics.values() if step in one.steps]
        fresh = [one for one in open_topics if one.name not in spoken_of] or open_topics
        odds = np.array([self._leaning(one.name) for one in fresh])
        return step, fresh[int(self.rng.choice(len(fresh), p=odds / odds.sum()))], False

    def _leaning(self, topic: str) -> float:
        """Who is content agrees, asks on; who is not refuses."""
        if topic == "agree":
            return float(2.0 * np.exp(2 * self.course))
        if topic in ("interested", "process", "price"):
            return float(np.exp(self.course))
        return 1.0

    def _feel(self, topic: str) -> tuple[Emotion, dict[Emotion, float]]:
        expected = moods.expected(topic, self.customer.colour, self.course)
        names = list(expected)
        return names[int(self.rng.choice(len(names), p=list(expected.values())))], expected

    def _lead(self, topic: Topic, again: bool) -> tuple[str, Relation]:
        wording = self.world.wording
        if again:
            return str(self.rng.choice(wording.repeats)), Relation.REPETITION
        if self.turns and topic.name not in _ASKS_FIRST and self.rng.random() < _CHANGES:
            return str(self.rng.choice(wording.changes)), Relation.TOPIC_CHANGE
        return str(self.rng.choice(wording.leads)), topic.relation

    def _asked(self, topic: str, again: bool) -> str:
        wording = self.world.wording
        if not self.turns:
            return spoken(self.rng, wording, self.product, str(self.rng.choice(wording.openings)))
        if topic in _ASKS_FIRST and not again:
            return spoken(self.rng, wording, self.product, str(self.rng.choice(wording.asks)))
        return ""

    def _reaction(self, accepted: bool, chance: float) -> Reaction:
        if not accepted:
            score = float(np.clip(self.rng.normal(25 + 25 * chance, 8), 0, 59))
            poor = self.rng.random() < 0.6
            rating = Rating.POOR if poor else Rating.FAIR
            return Reaction(False, Action.DISMISSED, self._maybe(rating), round(score))
        score = float(np.clip(self.rng.normal(68 + 16 * chance, 6), 60, 100))
        rating = Rating.EXCELLENT if self.rng.random() < chance - 0.2 else Rating.GOOD
        edited = self.rng.random() < _EDITED
        action = Action.EDITED if edited else Action.USED
        return Reaction(True, action, self._maybe(rating), round(score))

    def _maybe(self, rating: Rating) -> Rating | None:
        return rating if self.rng.random() < _RATED else None
