"""The log of changes: its order under many writers, what stood when, pruning, forgetting."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from persona_ray.store import Store, open_store
from persona_ray.store.screening.changes import NUMBERS, VOICES, NewChange, StreamState, What

START = datetime(2026, 3, 1, tzinfo=UTC)


def put(store: Store, key: str, day: int = 0, owner: str = "", kind: str = NUMBERS) -> int:
    return _append(store, NewChange(key, What.ADDED, {"day": day}), day, owner, kind)


def take(store: Store, key: str, day: int = 0) -> int:
    return _append(store, NewChange(key, What.REMOVED, None), day, "", NUMBERS)


def _append(store: Store, change: NewChange, day: int, owner: str, kind: str) -> int:
    with store._database.write() as session:
        return store.changes.append(session, kind, [change], START + timedelta(days=day), owner)


def test_each_stream_counts_for_itself(store: Store) -> None:
    assert store.changes.state(NUMBERS) == StreamState(0, 0)
    assert [put(store, "+861"), put(store, "+862")] == [1, 2]
    assert put(store, "v1", kind=VOICES) == 1
    assert put(store, "+863", owner="ann") == 1
    assert [change.key for change in store.changes.since(NUMBERS, 0, 10)] == ["+861", "+862"]
    assert [change.key for change in store.changes.since(NUMBERS, 0, 10, owner="ann")] == ["+863"]
    assert [change.key for change in store.changes.since(NUMBERS, 1, 10)] == ["+862"]
    assert [change.key for change in store.changes.since(NUMBERS, 0, 10, to=1)] == ["+861"]
    assert [change.key for change in store.changes.those(NUMBERS, [2, 1, 7])] == ["+861", "+862"]
    assert [change.key for change in store.changes.those(NUMBERS, [1, 2], owner="ann")] == ["+863"]


def test_a_change_that_fails_with_its_transaction_leaves_no_hole(store: Store) -> None:
    put(store, "+861")
    try:
        with store._database.write() as session:
            store.changes.append(session, NUMBERS, [NewChange("+862", What.ADDED, {})], START)
            raise RuntimeError("the entry could not be written")
    except RuntimeError:
        pass
    assert put(store, "+863") == 2


def test_whoever_saw_a_change_never_finds_a_new_one_below_it(store_url: str) -> None:
    """Writers of several connections; a reader follows the log as a replica does."""
    writers, each = 4, 12
    failed: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            with open_store(store_url) as own:
                for turn in range(each):
                    _slowly(own, f"{writer}.{turn}")
        except BaseException as error:
            failed.append(error)

    with open_store(store_url) as store:
        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
        for thread in threads:
            thread.start()
        seen: list[int] = []
        deadline = time.monotonic() + 30
        while len(seen) < writers * each and time.monotonic() < deadline and not failed:
            last = seen[-1] if seen else 0
            seen += [change.sequence for change in store.changes.since(NUMBERS, last, 5)]
        for thread in threads:
            thread.join()
    assert not failed
    assert seen == list(range(1, writers * each + 1))


def _slowly(store: Store, key: str) -> None:
    """Commit a while after numbering; on PostgreSQL without the lock that writers queue at."""
    database = store._database
    if database.engine.dialect.name == "sqlite":
        put(store, key)
        return
    with database.engine.connect() as connection, connection.begin():
        with Session(connection) as session:
            store.changes.append(session, NUMBERS, [NewChange(key, What.ADDED, {})], START)
            session.flush()
        time.sleep(random.random() * 0.004)


def test_what_stood_at_a_sequence_is_had_again_in_pages_while_others_write(store: Store) -> None:
    for key in ("b", "a", "c"):
        put(store, key)
    at = store.changes.state(NUMBERS).sequence
    first = store.changes.standing(NUMBERS, at, limit=2)
    take(store, "c")
    put(store, "a", day=5)
    put(store, "bb", day=5)
    rest = store.changes.standing(NUMBERS, at, limit=2, after_key=first[-1].key)
    assert [change.key for change in first + rest] == ["a", "b", "c"]
    assert all(change.payload == {"day": 0} for change in first + rest)
    now = store.changes.standing(NUMBERS, at + 3, limit=9)
    assert [(change.key, change.payload) for change in now] == [
        ("a", {"day": 5}),
        ("b", {"day": 0}),
        ("bb", {"day": 5}),
    ]


def test_pruning_keeps_what_later_sequences_rest_on(store: Store) -> None:
    """Against a replay of the whole log, at every sequence that can still be gone back to."""
    chance = random.Random(7)
    stood: list[dict[str, int]] = [{}]
    for day in range(40):
        key = chance.choice("abcdef")
        now = dict(stood[-1])
        if key in now and chance.random() < 0.5:
            take(store, key, day)
            del now[key]
        else:
            put(store, key, day)
            now[key] = day
        stood.append(now)
    assert store.changes.prune(START + timedelta(days=25)) > 0
    state = store.changes.state(NUMBERS)
    assert state == StreamState(40, 25)
    for sequence in range(state.floor, state.sequence + 1):
        entries = store.changes.standing(NUMBERS, sequence, limit=99)
        assert {item.key: (item.payload or {})["day"] for item in entries} == stood[sequence]
        later = store.changes.since(NUMBERS, sequence, limit=99)
        assert [item.sequence for item in later] == list(range(sequence + 1, 41))
    assert store.changes.prune(START + timedelta(days=25)) == 0


def test_a_forgotten_number_leaves_only_the_word_to_remove_it(store: Store) -> None:
    put(store, "+861", 0)
    put(store, "+862", 0)
    put(store, "+861", 1, owner="ann")
    with store._database.write() as session:
        assert store.changes.forget(session, NUMBERS, "+861", START + timedelta(days=2)) == 2
    told = store.changes.since(NUMBERS, 0, 9)
    assert [(item.key, item.what, item.payload) for item in told] == [
        ("+862", What.ADDED, {"day": 0}),
        ("+861", What.REMOVED, None),
    ]
    store.changes.prune(START + timedelta(days=3))
    assert [item.key for item in store.changes.since(NUMBERS, 0, 9)] == ["+862"]
    assert store.changes.since(NUMBERS, 0, 9, owner="ann") == []
