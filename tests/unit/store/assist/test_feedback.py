"""Feedback is taken once, changed until it is late, scored with the outcome; samples follow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from persona_ray.store import Store
from persona_ray.store.assist.records import (
    LibraryExistsError,
    NotShownError,
    PushState,
    RetrainingRunsError,
    Said,
    StoredLibrary,
    UnknownLibraryError,
    UnknownPushError,
    UnknownScriptError,
)
from persona_ray.store.live_calls import UnknownLiveCallError
from tests.unit.store.assist.fill import LATE_S, NOW, begin, decide, scorer

USED, DISMISSED = Said(action="used"), Said(action="dismissed")


def give(
    store: Store, push_id: str, said: Said, now: datetime | None = None
) -> tuple[float, bool, bool]:
    taken, new = store.feedback.give(push_id, said, scorer, LATE_S, now or datetime.now(UTC))
    return taken.score, taken.counted, new


def tell(store: Store, outcome: str, now: datetime | None = None) -> tuple[str, bool, int]:
    at = now or datetime.now(UTC)
    taken = store.feedback.outcome("ann", "k1", outcome, scorer, LATE_S, at)
    return taken.outcome, taken.counted, taken.rescored


def test_the_same_feedback_counts_once(store: Store) -> None:
    push_id = decide(store, begin(store))
    assert give(store, push_id, USED) == (70.0, True, True)
    # The large script is meant where none is named.
    assert give(store, push_id, Said(action="used", script_id="s1")) == (70.0, True, False)
    assert store.samples.new() == 1
    assert store.feedback.history(push_id) == []
    assert store.pushes.get(push_id).state is PushState.SEEN


def test_the_same_feedback_of_many_devices_at_once_counts_once(store: Store) -> None:
    push_id = decide(store, begin(store))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: give(store, push_id, USED), range(4)))
    assert sorted(found) == [(70.0, True, False)] * 3 + [(70.0, True, True)]
    assert store.samples.new() == 1


def test_other_feedback_takes_its_place_and_makes_another_sample(store: Store) -> None:
    push_id = decide(store, begin(store))
    give(store, push_id, USED)
    (first,) = store.samples.all()
    assert give(store, push_id, DISMISSED) == (20.0, True, True)
    assert [past.said.action for past in store.feedback.history(push_id)] == ["used"]
    (second,) = store.samples.all()
    assert (first.positive, second.positive) == (True, False)
    assert second.number > first.number
    assert (second.customer_id, second.context) == ("c1", {"text": "words of c1"})
    ((_, judged),) = store.suggestions.judged(NOW, NOW + timedelta(days=1))
    assert judged.feedback is not None
    assert judged.feedback.score == 20.0
    assert sum(one["propensity"] for one in judged.candidates) == 1


def test_late_feedback_is_kept_and_counts_for_nothing(store: Store) -> None:
    push_id = decide(store, begin(store), ended=True)
    late = datetime.now(UTC) + timedelta(seconds=LATE_S + 1)
    assert give(store, push_id, USED, late) == (70.0, False, True)
    assert give(store, push_id, USED, late) == (70.0, False, False)
    assert store.samples.new() == 0
    assert store.suggestions.judged(NOW, NOW + timedelta(days=1)) == []


def test_late_feedback_does_not_take_the_place_of_what_counts(store: Store) -> None:
    push_id = decide(store, begin(store), ended=True)
    give(store, push_id, USED)
    late = datetime.now(UTC) + timedelta(seconds=LATE_S + 1)
    assert give(store, push_id, DISMISSED, late) == (20.0, False, True)
    assert give(store, push_id, DISMISSED, late) == (20.0, False, False)
    stands = store.feedback.get(push_id)
    assert stands is not None
    assert (stands.said.action, stands.counted) == ("used", True)
    assert [past.counted for past in store.feedback.history(push_id)] == [False]
    assert [sample.positive for sample in store.samples.all()] == [True]


def test_feedback_for_what_never_was(store: Store) -> None:
    push_id = decide(store, begin(store))
    with pytest.raises(UnknownPushError):
        give(store, "another", USED)
    with pytest.raises(UnknownScriptError):
        give(store, push_id, Said(action="used", script_id="s9"))
    store.pushes.comes_to(push_id, PushState.LATE, NOW)
    with pytest.raises(NotShownError):
        give(store, push_id, USED)
    assert store.feedback.get(push_id) is None


def test_an_outcome_scores_all_pushes_of_its_call_anew(store: Store) -> None:
    call = begin(store)
    first, second = decide(store, call), decide(store, call, before=2, ended=True)
    give(store, first, USED)
    give(store, second, DISMISSED)
    assert tell(store, "agreed") == ("agreed", True, 2)
    assert tell(store, "agreed") == ("agreed", True, 0)
    scores = {name: one.score for name, one in store.feedback.of_call("ann", "k1").items()}
    assert scores == {first: 90.0, second: 40.0}
    # What is said afterwards is scored with it.
    assert give(store, second, USED) == (90.0, True, True)
    assert tell(store, "declined") == ("declined", True, 2)
    late = datetime.now(UTC) + timedelta(seconds=LATE_S + 1)
    assert tell(store, "agreed", late) == ("declined", False, 0)
    with pytest.raises(UnknownLiveCallError):
        store.feedback.outcome("bob", "k1", "agreed", scorer, LATE_S, late)


def test_a_late_outcome_is_kept_and_counts_for_nothing(store: Store) -> None:
    give(store, decide(store, begin(store), ended=True), USED)
    late = datetime.now(UTC) + timedelta(seconds=LATE_S + 1)
    assert tell(store, "agreed", late) == ("agreed", False, 0)
    assert tell(store, "agreed", late) == ("agreed", False, 0)
    assert [sample.score for sample in store.samples.all()] == [70.0]


def test_each_sample_is_new_to_one_retraining(store: Store) -> None:
    call = begin(store)
    first, second = decide(store, call), decide(store, call, before=2)
    give(store, first, USED)
    made = store.samples.begin("r1", "count", "ranker 3", NOW)
    assert (made.samples, made.positives, store.samples.new()) == (1, 1, 0)
    with pytest.raises(RetrainingRunsError):
        store.samples.begin("r2", "asked", "ranker 3", NOW)
    give(store, second, DISMISSED)
    assert len(store.samples.all(made.upto)) == 1
    store.samples.end("r1", "released", NOW, "ranker 4", {"gain": 0.1})
    store.samples.begin("r2", "asked", "ranker 4", NOW + timedelta(days=1))
    assert [sample.used_by for sample in store.samples.all()] == ["r1", "r2"]
    store.samples.end("r2", "failed", NOW)
    assert store.samples.new() == 1
    assert [one.state for one in store.samples.retrainings()] == ["failed", "released"]


def test_a_library_version_is_for_good_and_one_is_current(store: Store) -> None:
    kept = store.script_libraries
    assert (kept.current(), kept.current_digest()) == (None, "")

    def version(number: str, digest: str, current: bool = False) -> StoredLibrary:
        return StoredLibrary(
            name="demo",
            version=number,
            digest=digest,
            content={"scripts": []},
            made_at=NOW,
            made_by="desk",
            current=current,
        )

    assert kept.put(version("1", "a", current=True))
    assert not kept.put(version("1", "a", current=True))
    with pytest.raises(LibraryExistsError):
        kept.put(version("1", "b"))
    assert kept.put(version("2", "b"))
    assert kept.current_digest() == "a"
    kept.make_current("demo", "2")
    assert kept.current() == version("2", "b", current=True)
    assert [one.version for one in kept.versions() if one.current] == ["2"]
    with pytest.raises(UnknownLibraryError):
        kept.get("demo", "3")
