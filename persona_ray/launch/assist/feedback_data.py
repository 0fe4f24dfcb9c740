"""The log of suggestions and what became of them, as data: pushes that were judged, to estimate
what another ranker would earn, and pairs to learn from. Customers are dealt by a hash: those held
out are never learned from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_ray.corpus.conversations import split_of
from persona_ray.inference.assist.feedback import is_sample
from persona_ray.inference.assist.journal import read_context
from persona_ray.inference.assist.library import from_dict
from persona_ray.inference.assist.shelf import LibraryShelf
from persona_ray.launch.assist.asked import AskedTurn
from persona_ray.types import Split

if TYPE_CHECKING:
    from persona_ray.config.assist import AssistConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.records import SpeechInformation
    from persona_ray.store.assist.records import Sample, StoredSuggestion
    from persona_ray.store.open import Store

_SALT = "retraining"
_PAGE = 1000
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class JudgedPush:
    """What was put before an agent and judged. `shown`: how often each script was in the call
    before; `chances`: with what propensity each candidate was drawn to be `chosen`. `accepted`:
    1.0 where the large one's feedback makes a sample. `mood_change`: valence of the customer's next
    sentence less that of this one, -2 to 2; None where the call ended."""

    person: str
    at: datetime
    information: SpeechInformation
    library: ScriptLibrary
    shown: Mapping[str, int]
    chosen: str
    chances: Mapping[str, float]
    accepted: float
    mood_change: float | None


def split_of_person(person: str, config: AssistConfig) -> Split:
    """TEST: only judges."""
    return split_of(person, config.retraining.held_out, config.ranker.dev, _SALT)


def judged_pushes(config: AssistConfig, store: Store, now: datetime) -> list[JudgedPush]:
    """All of the log whose feedback counts and whose library is still there, in order."""
    libraries = _Libraries(config, store)
    found: list[JudgedPush] = []
    calls: dict[tuple[str, str], _Course] = {}
    after = 0
    while page := store.suggestions.judged(_ALWAYS, now, after, _PAGE):
        after = page[-1][0]
        for _, one in page:
            key = (one.agent_id, one.call_id)
            if key not in calls:
                calls[key] = _Course(store.suggestions.of_call(*key))
            library = libraries.of(one.library)
            if library is not None and one.chosen in library.scripts:
                found.append(_judged(one, library, calls[key], config))
    return found


def learned_turns(samples: Iterable[Sample], config: AssistConfig) -> dict[Split, list[AskedTurn]]:
    """What a ranker learns from, by split, as turns of conversations are; nothing of customers held
    out (TEST)."""
    found: dict[Split, list[AskedTurn]] = {split: [] for split in Split}
    for one in samples:
        person = person_of(one)
        split = split_of_person(person, config)
        if split is not Split.TEST:
            information = read_context(one.context)
            score = _inside(one, config)
            turn = AskedTurn(information, person, frozenset(), one.script_id, score)
            found[split].append(turn)
    return found


def samples_fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 of which pushes taught what."""
    lines = sorted(f"{one.push_id} {one.script_id} {one.score:g}" for one in samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def person_of(one: Sample | StoredSuggestion) -> str:
    """The customer; who has no name is known by the call."""
    return one.customer_id or f"{one.agent_id}/{one.call_id}"


class _Course:
    """A call, suggestion by suggestion."""

    def __init__(self, suggestions: Sequence[StoredSuggestion]) -> None:
        counts: Counter[str] = Counter()
        self.shown: dict[int, Mapping[str, int]] = {}
        self.after: dict[int, float] = {}
        last: StoredSuggestion | None = None
        for one in suggestions:
            self.shown[one.turn] = dict(counts)
            if one.push_id:
                counts[one.chosen] += 1
            if last is not None:
                self.after[last.turn] = _valence(one)
            last = one


class _Libraries:
    """By digest: those of the store, and the one that calls begin with."""

    def __init__(self, config: AssistConfig, store: Store) -> None:
        shelf = LibraryShelf(store, config)
        stored = (from_dict(kept.content) for kept in shelf.versions())
        self._kept = {library.digest: library for library in (shelf.current(), *stored)}

    def of(self, logged: str) -> ScriptLibrary | None:
        """`logged` ends in a digest; None: that version is gone."""
        return self._kept.get(logged.rpartition(" ")[2])


def _judged(
    one: StoredSuggestion, library: ScriptLibrary, course: _Course, config: AssistConfig
) -> JudgedPush:
    information = read_context(one.context)
    given = one.feedback
    # Who took one of the small scripts did not take the large one.
    mine = given is not None and given.said.script_id == one.chosen
    accepted = mine and given is not None and is_sample(given.score, config.feedback)
    after = course.after.get(one.turn)
    return JudgedPush(
        person=person_of(one),
        at=one.at,
        information=information,
        library=library,
        shown=course.shown[one.turn],
        chosen=one.chosen,
        chances={row["script_id"]: row["propensity"] for row in one.candidates},
        accepted=float(accepted),
        mood_change=None if after is None else after - information.mood.valence,
    )


def _valence(one: StoredSuggestion) -> float:
    return float(one.context["mood"]["valence"])


def _inside(one: Sample, config: AssistConfig) -> float:
    """A score on the side of the threshold that the sample was put on: it may have been moved
    since."""
    threshold = config.feedback.threshold
    return max(one.score, threshold) if one.positive else min(one.score, threshold - 1e-3)
