"""The log of suggestions and what became of them, as data: pushes that were judged, to estimate what
another ranker would earn, and pairs to learn from. Customers are dealt by a hash: those held out are
never learned from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_ray.corpus.conversations import split_of
from persona_ray.inference.assist.feedback import is_sample
from persona_ray.inference.assist.journal import read_context
from persona_ray.inference.assist.library import from_dict, load_library
from persona_ray.inference.assist.ranking import as_query
from persona_ray.models.ranker.records import Pair
from persona_ray.types import Split

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
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


def library_now(config: RunConfig, store: Store) -> ScriptLibrary:
    """The one that calls begin with. Raises LibraryError."""
    kept = None if config.assist.library else store.script_libraries.current()
    if kept is not None:
        return from_dict(kept.content)
    return load_library(config.assist.library, config.assist.steps)


def judged_pushes(config: RunConfig, store: Store, now: datetime) -> list[JudgedPush]:
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
                found.append(_judged(one, library, calls[key], config.assist))
    return found


def pairs(samples: Iterable[Sample], config: AssistConfig) -> dict[Split, list[Pair]]:
    """What a ranker learns from, by split; those of held-out customers (TEST) it must not."""
    found: dict[Split, list[Pair]] = {split: [] for split in Split}
    for one in samples:
        person = person_of(one)
        query = as_query(read_context(one.context))
        pair = Pair(query, one.script_id, _inside(one, config), person)
        found[split_of_person(person, config)].append(pair)
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
    """By digest: those of the store, and the one that is configured."""

    def __init__(self, config: RunConfig, store: Store) -> None:
        self._kept: dict[str, ScriptLibrary] = {}
        for library in (library_now(config, store), *_stored(store)):
            self._kept.setdefault(library.digest, library)

    def of(self, logged: str) -> ScriptLibrary | None:
        """`logged` ends in a digest; None: that version is gone."""
        return self._kept.get(logged.rpartition(" ")[2])


def _stored(store: Store) -> Iterator[ScriptLibrary]:
    return (from_dict(kept.content) for kept in store.script_libraries.versions())


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
