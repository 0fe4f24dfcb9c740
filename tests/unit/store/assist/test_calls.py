"""Calls are settled step by step, by one connection at a time, each step whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from persona_ray.errors import StoreError
from persona_ray.store import Store
from persona_ray.store.assist.records import NewEvent, PushState
from persona_ray.store.live_calls import (
    LiveCallExistsError,
    SupersededError,
    UnknownLiveCallError,
)
from tests.unit.store.assist.fill import NOW, SCENE, SOUND, begin, decide, push_of, suggestion_of


def test_a_call_from_its_beginning_to_its_end(store: Store) -> None:
    call = begin(store)
    decide(store, call)
    decide(store, call, before=2, ended=True)
    found = store.assist_calls.get("ann", "k1")
    assert (found.events, found.ended, found.checkpoint, found.scene) == (4, True, {}, SCENE)
    assert store.assist_calls.events("ann", "k1", after=2) == ["turn of c1", "push"]
    assert [one.turn for one in store.suggestions.of_call("ann", "k1")] == [1, 3]
    assert [one.push_id for one in store.pushes.of_call("ann", "k1")] == ["ann-k1-1", "ann-k1-3"]
    assert store.assist_calls.open("ann", "k1", SOUND, SCENE, seen=2).ended
    with pytest.raises(LiveCallExistsError):
        begin(store)


def test_who_goes_on_supersedes_and_a_step_is_whole(store: Store) -> None:
    first = begin(store)
    decide(store, first)
    second = store.assist_calls.open("ann", "k1", SOUND, {}, seen=1, began="again")
    assert (second.checkpoint, second.events, second.scene) == ({"at": 1}, 2, SCENE)
    with pytest.raises(SupersededError):
        decide(store, first, before=2)
    with pytest.raises(SupersededError):
        store.assist_calls.alive(first)
    # A push that is there already: nothing of the step is kept.
    twice = suggestion_of(second, 3, push_of(second, 1))
    with pytest.raises(StoreError):
        store.assist_calls.settle(second, {"at": 3}, 2, [NewEvent("turn")], [twice])
    assert store.assist_calls.get("ann", "k1").events == 2
    decide(store, second, before=2)
    # Only its first connection told the devices of its beginning.
    bodies = [one.body for one in store.pushes.notices("ann", 0, NOW)]
    assert bodies.count("began with c1") == 1
    assert "again" not in bodies


def test_a_call_that_is_not_there_cannot_be_gone_on_with(store: Store) -> None:
    with pytest.raises(UnknownLiveCallError):
        store.assist_calls.open("ann", "k1", SOUND, SCENE, seen=3)
    with pytest.raises(UnknownLiveCallError):
        store.assist_calls.get("ann", "k1")
    begin(store)
    with pytest.raises(UnknownLiveCallError):
        store.assist_calls.get("bob", "k1")


def test_calls_that_nobody_holds_are_claimed_once(store: Store) -> None:
    begin(store)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    (left,) = store.assist_calls.abandoned(soon)
    claimed = store.assist_calls.claim_abandoned(left)
    with pytest.raises(SupersededError):
        store.assist_calls.claim_abandoned(left)
    store.assist_calls.settle(claimed, {}, 0, ended=True)
    assert store.assist_calls.abandoned(soon) == []


def test_an_agents_calls_come_the_latest_first(store: Store) -> None:
    for name in ("k1", "k2", "k3"):
        begin(store, call_id=name)
    begin(store, agent="bob")
    page = store.assist_calls.of_agent("ann", 2)
    assert [call.call_id for call in page] == ["k3", "k2"]
    before = (page[-1].started_at, page[-1].call_id)
    assert [call.call_id for call in store.assist_calls.of_agent("ann", 2, before)] == ["k1"]


def test_a_push_comes_only_so_far(store: Store) -> None:
    call = begin(store)
    push_id = decide(store, call)
    pushes = store.pushes
    assert pushes.comes_to(push_id, PushState.SENT, NOW)
    assert not pushes.comes_to(push_id, PushState.SENT, NOW)
    assert not pushes.comes_to(push_id, PushState.LATE, NOW)
    assert pushes.drop_late(NOW + timedelta(days=1)) == 0
    assert pushes.comes_to(push_id, PushState.SEEN, NOW + timedelta(seconds=1))
    found = pushes.get(push_id)
    assert (found.state, found.sent_at, found.late_at) == (PushState.SEEN, NOW, None)
    other = decide(store, call, before=2)
    assert pushes.drop_late(NOW + timedelta(seconds=8)) == 0
    assert pushes.drop_late(NOW + timedelta(seconds=9)) == 1
    assert not pushes.comes_to(other, PushState.SENT, NOW)
    assert pushes.counts(NOW) == {PushState.SEEN: 1, PushState.LATE: 1}


def test_notices_are_an_agents_own_in_order_and_recent(store: Store) -> None:
    ann, bob = begin(store), begin(store, agent="bob")
    decide(store, ann)
    decide(store, bob)
    found = store.pushes.notices("ann", 0, NOW)
    assert [(one.seq, one.body) for one in found] == [
        (0, "began with c1"),
        (1, "turn of c1"),
        (2, "push"),
    ]
    assert found[-1].push_id == "ann-k1-1"
    assert store.pushes.notices("ann", found[1].number, NOW) == found[2:]
    assert store.pushes.notices("ann", 0, datetime.now(UTC) + timedelta(seconds=1)) == []
    assert store.pushes.last_notice("ann") == found[-1].number
    assert store.pushes.last_notice("nobody") == 0
    last, agents = store.pushes.news(found[-1].number)
    assert agents == {"bob"}
    assert store.pushes.news(last) == (last, frozenset())


def test_the_latest_decisions_are_found_by_product(store: Store) -> None:
    call = begin(store)
    gap = suggestion_of(call, 1, None, reason="nothing_fits")
    store.assist_calls.settle(call, {}, 0, [NewEvent("turn")], [gap])
    decide(store, call, before=1)
    decided, found = store.suggestions.latest(NOW, 9)
    assert (decided.turn, decided.reason) == (2, "")
    assert (found.turn, found.context, found.push_id) == (1, {"text": "words of c1"}, "")
    assert store.suggestions.latest(NOW, 1) == [decided]
    assert store.suggestions.latest(NOW, 9, product="fund") == []
    assert store.suggestions.reasons(NOW) == {"nothing_fits": 1, "": 1}
