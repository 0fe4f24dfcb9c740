"""What is settled of live calls, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from persona_ray.store import Store, expand_url, open_store
from persona_ray.store.live_calls import (
    LiveCallExistsError,
    SupersededError,
    UnknownLiveCallError,
)

SOUND = {"sample_rate_hz": 8000, "encoding": "mulaw"}
FAR = timedelta(days=1)


def test_a_call_is_gone_on_with_where_it_was_settled(store: Store) -> None:
    calls = store.live_calls
    call = calls.open("shop", "k1", SOUND, "customer")
    assert (call.generation, call.checkpoint, call.results, call.sound) == (1, {}, 0, SOUND)
    calls.settle(call, {"frame": 3}, 0)
    calls.settle(call, {"frame": 7}, 0, ['{"text": "你好"}', "{}"])
    calls.settle(call, {"frame": 9}, 2, ["last"], ended=True)
    again = calls.open("shop", "k1", {}, seen=1)
    assert (again.generation, again.checkpoint, again.results) == (2, {"frame": 9}, 3)
    assert (again.sound, again.customer_id, again.ended) == (SOUND, "customer", True)
    assert calls.results("shop", "k1") == ['{"text": "你好"}', "{}", "last"]
    assert calls.get("shop", "k1") == again


def test_another_keys_call_of_the_same_name_is_another_call(store: Store) -> None:
    calls = store.live_calls
    calls.settle(calls.open("shop", "k1", SOUND), {"frame": 3}, 0, ["theirs"])
    assert calls.open("bank", "k1", SOUND).results == 0
    assert calls.results("bank", "k1") == []
    with pytest.raises(UnknownLiveCallError):
        calls.get("club", "k1")


def test_only_the_last_connection_settles(store: Store) -> None:
    calls = store.live_calls
    first = calls.open("shop", "k1", SOUND)
    second = calls.open("shop", "k1", SOUND, seen=0)
    with pytest.raises(SupersededError):
        calls.settle(first, {"frame": 3}, 0, ["lost"])
    calls.settle(second, {"frame": 4}, 0, ["kept"])
    # Nor may the last one leave out a result.
    with pytest.raises(SupersededError):
        calls.settle(second, {"frame": 5}, 0, ["again"])
    assert calls.results("shop", "k1") == ["kept"]
    assert calls.get("shop", "k1").checkpoint == {"frame": 4}


def test_what_has_begun_is_not_begun_again_and_what_is_gone_is_not_gone_on_with(
    store: Store,
) -> None:
    calls = store.live_calls
    calls.open("shop", "k1", SOUND)
    # Nothing is settled: the client may not know that its first attempt arrived.
    call = calls.open("shop", "k1", {"sample_rate_hz": 16_000})
    assert call.sound == {"sample_rate_hz": 16_000}
    calls.settle(call, {"frame": 3}, 0)
    with pytest.raises(LiveCallExistsError):
        calls.open("shop", "k1", SOUND)
    assert calls.open("shop", "k2", SOUND, seen=0).results == 0
    with pytest.raises(UnknownLiveCallError):
        calls.open("shop", "k3", SOUND, seen=1)
    with pytest.raises(UnknownLiveCallError):
        calls.get("shop", "k3")


def test_calls_expire_are_deleted_and_forgotten_with_their_texts(
    store: Store, store_url: str
) -> None:
    calls = store.live_calls
    for name, customer in (("k1", "gone"), ("k2", "stays"), ("k3", ""), ("k4", "stays")):
        calls.settle(calls.open("shop", name, SOUND, customer), {"frame": 3}, 0, [f"text {name}"])
    assert calls.expire(datetime.now(UTC) - FAR) == 0
    assert store.forget_customer("gone", ["k3"]).live_calls == 2
    calls.delete("shop", "k2")
    with pytest.raises(UnknownLiveCallError):
        calls.delete("shop", "k2")
    engine = create_engine(expand_url(store_url))
    with engine.connect() as connection:
        left = connection.execute(text("SELECT body FROM live_results")).scalars().all()
    assert left == ["text k4"]
    assert calls.expire(datetime.now(UTC) + FAR) == 1
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM live_results")).scalar() == 0
    engine.dispose()


def test_a_connection_whose_call_was_deleted_settles_no_more(store: Store) -> None:
    calls = store.live_calls
    call = calls.open("shop", "k1", SOUND)
    calls.delete("shop", "k1")
    with pytest.raises(SupersededError):
        calls.settle(call, {"frame": 3}, 0, ["text"])


def test_sqlite_files_hold_no_byte_of_an_expired_call(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 's.sqlite'}") as store:
        call = store.live_calls.open("shop", "k1", SOUND)
        store.live_calls.settle(call, {"frame": 3}, 0, ["private matter 31337"])
        assert any(b"31337" in path.read_bytes() for path in tmp_path.iterdir())
        store.live_calls.expire(datetime.now(UTC) + FAR)
        assert not any(b"31337" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_sentence_does_not_queue_with_other_writers(store: Store) -> None:
    """On PostgreSQL; SQLite has one writer at a time."""
    if store.url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    call = store.live_calls.open("desk", "c1", {})
    with store.write(), ThreadPoolExecutor(1) as other:
        other.submit(store.live_calls.settle, call, {"position": 1}, 0, ["{}"]).result(timeout=30)
    assert store.live_calls.results("desk", "c1") == ["{}"]


def test_of_two_who_settle_the_same_sentence_one_is_superseded(store: Store) -> None:
    call = store.live_calls.open("desk", "c1", {})

    def settle(number: int) -> bool:
        try:
            store.live_calls.settle(call, {"by": number}, 0, [str(number)])
        except SupersededError:
            return False
        return True

    with ThreadPoolExecutor(8) as many:
        assert sum(many.map(settle, range(8))) == 1
    assert len(store.live_calls.results("desk", "c1")) == 1
