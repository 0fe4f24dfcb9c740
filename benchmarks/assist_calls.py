"""Simulated calls with an agent who is put scripts before: planted customers, the product's own
choice, feedback and store. No sound: what a customer says and feels is given, with mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.conversation import Action, Emotion, Outcome, Rating, Scene, ScriptLibrary, Speaker
from persona_ray.inference.assist.choice import choose
from persona_ray.inference.assist.feedback import is_sample, score
from persona_ray.inference.assist.journal import candidate_json, context_json
from persona_ray.inference.assist.records import (
    Mood,
    NoSuggestion,
    Sentence,
    SpeechInformation,
    Suggestion,
)
from persona_ray.inference.assist.relations import relation_of
from persona_ray.store.assist.records import NewPush, NewSuggestion, Said, Scored
from persona_ray.synth.assist.moods import VALENCE

if TYPE_CHECKING:
    from persona_ray.config.assist import AssistConfig, FeedbackConfig
    from persona_ray.inference.assist.ranking import ScriptRanker
    from persona_ray.store.open import Store
    from persona_ray.synth.assist.world import PlantedCall, PlantedTurn, Reaction, World

AGENT = "agent"
# Of moods that are read as they are, and how sure the reader is.
_READ, _SURE = 0.85, 0.8


@dataclass(frozen=True, slots=True)
class Round:
    """What came of some calls. `accepted`: of each push whether its feedback is a sample; by
    `customers`, one for each push."""

    calls: int
    accepted: tuple[bool, ...]
    customers: tuple[str, ...]

    @property
    def share(self) -> float:
        return sum(self.accepted) / len(self.accepted)


class Floor:
    """Where agents call. `began`: when the first call is held; later ones follow."""

    def __init__(
        self,
        store: Store,
        world: World,
        library: ScriptLibrary,
        config: AssistConfig,
        began: datetime,
        seed: int,
    ) -> None:
        self._store = store
        self._library = library
        self._config = config
        self._world = world
        self._began = began
        self._seed = seed
        self._held = 0

    def hold(self, calls: int, ranker: ScriptRanker) -> Round:
        """So many calls with new customers; `ranker` says what fits."""
        accepted: list[bool] = []
        customers: list[str] = []
        for _ in range(calls):
            number = self._held
            self._held += 1
            rng = np.random.default_rng([self._seed, number])
            customer = self._world.customer(rng, f"u-{number:06d}")
            product = str(rng.choice(self._world.products))
            call = self._world.call(rng, customer, product)
            taken = self._call(f"c-{number:06d}", call, ranker)
            accepted += taken
            customers += [customer.id] * len(taken)
        return Round(calls, tuple(accepted), tuple(customers))

    def _call(self, call_id: str, call: PlantedCall, ranker: ScriptRanker) -> list[bool]:
        calls = self._store.assist_calls
        record = calls.open(AGENT, call_id, {}, {}, call.customer.id)
        at = self._began + timedelta(minutes=self._held)
        before: list[Sentence] = []
        shown: Counter[str] = Counter()
        made: list[NewSuggestion] = []
        given: list[tuple[str, Reaction]] = []
        while (turn := call.speak()) is not None:
            place = len(made) + 1
            said = Sentence(Speaker.CUSTOMER, turn.text, place * 9.0, place * 9.0 + 4.0, turn.tone)
            if turn.asked:
                before.append(Sentence(Speaker.AGENT, turn.asked, said.start_s, said.start_s,
                                       turn.tone))  # fmt: skip
            information = self._information(call, turn, said, before)
            decided = self._decided(information, shown, ranker, float(call.rng.random()))
            made.append(_logged(call_id, place, at, information, decided, self._names))
            answer = None if isinstance(decided, NoSuggestion) else decided.first.script
            reaction = call.hear(answer)
            before.append(said)
            if answer is not None:
                shown[answer.id] += 1
                given.append((f"{call_id}-{place}", reaction))
                before.append(Sentence(Speaker.AGENT, answer.text, said.end_s, said.end_s + 4,
                                       turn.tone))  # fmt: skip
        calls.settle(record, {}, 0, (), made, ended=True)
        return self._judged(call_id, given, call.outcome())

    @property
    def _names(self) -> str:
        return f"{self._library.name} {self._library.version} {self._library.digest}"

    def _information(
        self, call: PlantedCall, turn: PlantedTurn, said: Sentence, before: Sequence[Sentence]
    ) -> SpeechInformation:
        customer = call.customer
        return SpeechInformation(
            said,
            Scene(turn.product, turn.step),
            relation_of(turn.text, tuple(before)),
            read_mood(turn, call.rng),
            tuple(before[-12:]),
            {customer.colour: 1.0} if customer.known else {},
        )

    def _decided(
        self,
        information: SpeechInformation,
        shown: Counter[str],
        ranker: ScriptRanker,
        draw: float,
    ) -> Suggestion | NoSuggestion:
        targets = ranker.targets(information, self._library)
        choice = self._config.choice
        return choose(information, self._library, targets, shown, draw, choice, ranker.name)

    def _judged(
        self, call_id: str, given: Sequence[tuple[str, Reaction]], outcome: Outcome
    ) -> list[bool]:
        feedback, late_s = self._store.feedback, self._config.feedback.late_s
        now = datetime.now(UTC)
        for push_id, reaction in given:
            rating = "" if reaction.rating is None else reaction.rating.value
            said = Said(action=reaction.action.value, rating=rating)
            feedback.give(push_id, said, self._scored, late_s, now)
        feedback.outcome(AGENT, call_id, outcome.value, self._scored, late_s, now)
        stands = feedback.of_call(AGENT, call_id)
        return [is_sample(stands[push_id].score, self._config.feedback) for push_id, _ in given]

    def _scored(self, said: Said, outcome: str) -> Scored:
        return scored(said, outcome, self._config.feedback)


def scored(said: Said, outcome: str, config: FeedbackConfig) -> Scored:
    points = score(
        Action(said.action),
        Rating(said.rating) if said.rating else None,
        Outcome(outcome) if outcome else None,
        config,
    )
    return Scored(points, is_sample(points, config))


def read_mood(turn: PlantedTurn, rng: np.random.Generator) -> Mood:
    """As a reader tells it who is mistaken now and then."""
    likely = list(turn.expected)
    read = turn.emotion
    if rng.random() >= _READ:
        read = likely[int(rng.choice(len(likely), p=list(turn.expected.values())))]
    told = {one: (1 - _SURE) * turn.expected.get(one, 0.0) + _SURE * (one is read)
            for one in Emotion}  # fmt: skip
    valence = sum(VALENCE[one] * share for one, share in told.items())
    return Mood(told, told, {}, valence)


def _logged(
    call_id: str,
    place: int,
    at: datetime,
    information: SpeechInformation,
    decided: Suggestion | NoSuggestion,
    library: str,
) -> NewSuggestion:
    at += timedelta(seconds=information.sentence.end_s)
    common: dict[str, Any] = {
        "turn": place,
        "at": at,
        "product": information.scene.product,
        "context": context_json(information),
        "library": library,
    }
    if isinstance(decided, NoSuggestion):
        return NewSuggestion(**common, ranker="", reason=decided.reason)
    scripts = tuple(decided.candidates[one].script.id for one in decided.shown)
    expires_at = at + timedelta(seconds=8)
    return NewSuggestion(
        **common,
        ranker=decided.ranker,
        candidates=[candidate_json(one) for one in decided.candidates],
        shown=decided.shown,
        chosen=decided.first.script.id,
        explored=decided.explored,
        push=NewPush(push_id=f"{call_id}-{place}", channel="device", scripts=scripts,
                     expires_at=expires_at),
    )  # fmt: skip
