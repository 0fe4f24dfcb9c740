"""Screened calls: settled, concluded once, told to their user, corrected, gone when they must."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from persona_ray.store import Store, expand_url, open_store
from persona_ray.store.screening.call_records import (
    CallEndedError,
    CallExistsError,
    CallSupersededError,
    NewCall,
    StoredVerdict,
    UnknownCallError,
)
from persona_ray.store.screening.corrections import UnfinishedCallError

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SOUND = {"sample_rate_hz": 8000, "encoding": "mulaw"}
URL = "https://example.com/hook"


def new(call_id: str = "k1", **changes: Any) -> NewCall:
    call = NewCall(
        user_id="li",
        call_id=call_id,
        number="+8613800138000",
        channel="telephone",
        at=NOW,
        decision="screen",
        source={"standing": "unknown"},
    )
    return replace(call, **changes)


def verdict(category: str = "loans", **changes: Any) -> StoredVerdict:
    found = StoredVerdict(
        outcome="screened",
        standing="abnormal",
        category=category,
        body={
            "turns": [{"speaker": "caller", "text": "需要贷款吗"}],
            "models": {"category": "m 3"},
        },
        notice={"category": category},
    )
    return replace(found, **changes)


def test_a_call_is_gone_on_with_where_it_was_settled(store: Store) -> None:
    calls = store.screened_calls
    made, fresh = calls.hand_over(new())
    assert fresh
    assert not made.ended
    assert made.ref
    assert calls.hand_over(new()) == (made, False)
    with pytest.raises(CallExistsError):
        calls.hand_over(new(number="+8613900139000"))
    with pytest.raises(UnknownCallError):
        calls.open("li", "k2", SOUND, None)

    first = calls.open("li", "k1", SOUND, None)
    calls.settle(first, {"frame": 3}, 0, ["a", "b"])
    with pytest.raises(CallExistsError):
        calls.open("li", "k1", SOUND, None)
    second = calls.open("li", "k1", {}, 1)
    assert (second.checkpoint, second.events, second.sound) == ({"frame": 3}, ("a", "b"), SOUND)
    # Only the last connection settles, and leaves no event out.
    for call, before in ((first, 2), (second, 1)):
        with pytest.raises(CallSupersededError):
            calls.settle(call, {"frame": 9}, before, ["c"])
    with pytest.raises(CallSupersededError):
        calls.alive(first)
    with pytest.raises(CallSupersededError):
        calls.conclude(first, verdict())
    calls.settle(second, {"frame": 9}, 2, ["c"])
    assert calls.get("li", "k1").events == ("a", "b", "c")


def test_a_call_ends_with_one_verdict_and_one_notice(store: Store) -> None:
    calls, notices = store.screened_calls, store.screening_notices
    calls.hand_over(new())
    call = calls.open("li", "k1", SOUND, None)
    calls.settle(call, {"frame": 3}, 0, ["a"])
    number = calls.conclude(call, verdict(webhooks=(URL, URL)), ["end"])
    assert number is not None
    assert calls.conclude(call, verdict("personal")) is None
    kept = calls.get("li", "k1")
    assert kept.ended
    assert kept.ended_at is not None
    assert not kept.checkpoint
    assert (kept.outcome, kept.standing, kept.category) == ("screened", "abnormal", "loans")
    assert kept.events == ("a", "end")
    assert calls.by_ref(kept.ref) == kept
    told = notices.after("li", 0)
    assert [(one.number, one.kind, one.body) for one in told] == [
        (number, "verdict", {"category": "loans"})
    ]
    assert notices.after("li", number) == [] == notices.after("wang", 0)
    assert notices.last("li") == number
    assert notices.last("wang") == 0
    assert [one[:3] for one in notices.deliveries("li", "k1")] == [(URL, "waiting", 0)]


def test_the_users_first_answer_counts_while_the_call_goes_on(store: Store) -> None:
    calls = store.screened_calls
    calls.hand_over(new(decision="ask"))
    call = calls.open("li", "k1", SOUND, None)
    assert calls.alive(call) == "" == calls.answer_of("li", "k1")
    calls.answer("li", "k1", "accept")
    calls.answer("li", "k1", "reject")
    assert calls.alive(call) == "accept" == calls.answer_of("li", "k1")
    calls.conclude(call, verdict())
    with pytest.raises(CallEndedError):
        calls.answer("li", "k1", "reject")
    with pytest.raises(UnknownCallError):
        calls.answer_of("wang", "k1")


def test_a_call_that_nobody_holds_is_taken_over_once(store: Store) -> None:
    calls = store.screened_calls
    calls.hand_over(new())
    held = calls.open("li", "k1", SOUND, None)
    assert calls.abandoned(held.alive_at) == []
    later = held.alive_at + timedelta(seconds=30)
    found = calls.abandoned(later)
    assert [one.call_id for one in found] == ["k1"]
    taken = calls.claim_abandoned(found[0])
    with pytest.raises(CallSupersededError):
        calls.claim_abandoned(found[0])
    with pytest.raises(CallSupersededError):
        calls.conclude(held, verdict())
    assert calls.conclude(taken, verdict(outcome="broken_off")) is not None
    assert calls.abandoned(later) == []


def test_a_delivery_is_one_senders_until_its_lease_is_over(store: Store) -> None:
    calls, notices = store.screened_calls, store.screening_notices
    call, _ = calls.hand_over(new())
    calls.conclude(call, verdict(webhooks=(URL,)))
    now = datetime.now(UTC)
    first = notices.claim(now, 10)
    assert first is not None
    assert (first.url, first.attempts) == (URL, 1)
    assert notices.claim(now, 10) is None
    second = notices.claim(now + timedelta(seconds=11), 10)
    assert second is not None
    assert second.attempts == 2
    # What the first sender finds after its lease changes nothing.
    notices.give_up(first, "late")
    notices.try_again(second, now + timedelta(seconds=60), "503")
    assert notices.claim(now + timedelta(seconds=59), 10) is None
    third = notices.claim(now + timedelta(seconds=61), 10)
    assert third is not None
    notices.delivered(third, "200")
    assert notices.deliveries("li", "k1") == [(URL, "done", 3, "200")]
    assert notices.claim(now + timedelta(days=1), 10) is None


def test_a_correction_becomes_a_sample_with_its_lineage(store: Store) -> None:
    calls, corrections = store.screened_calls, store.screening_corrections
    call, _ = calls.hand_over(new())
    with pytest.raises(UnfinishedCallError):
        corrections.correct("li", "k1", "delivery", "normal", "li")
    calls.conclude(call, verdict())
    with pytest.raises(UnknownCallError):
        corrections.correct("wang", "k1", "delivery", "normal", "wang")
    corrections.correct("li", "k1", "personal", "normal", "li")
    corrections.correct("li", "k1", "delivery", "normal", "li")
    kept = calls.get("li", "k1")
    assert (kept.category, kept.standing) == ("delivery", "normal")
    (sample,) = corrections.samples()
    made = sample.correction
    assert (made.before, made.category, made.model) == ("personal", "delivery", "m 3")
    assert sample.ref == call.ref
    assert sample.verdict["turns"][0]["text"] == "需要贷款吗"
    assert [one.category for one in corrections.of_call("li", "k1")] == ["personal", "delivery"]
    assert [one.kind for one in store.screening_notices.after("li", 0)] == [
        "verdict",
        "corrected",
        "corrected",
    ]


def test_what_a_user_wants_is_the_users_own(store: Store) -> None:
    settings = store.screening_corrections
    assert settings.wanted("li") is None
    settings.want("li", ["delivery"])
    settings.want("wang", [])
    assert (settings.wanted("li"), settings.wanted("wang")) == (("delivery",), ())
    settings.want("li", None)
    assert settings.wanted("li") is None


def test_the_inbox_shows_the_latest_calls_first_page_by_page(store: Store) -> None:
    calls = store.screened_calls
    for number in range(5):
        # Two at the same moment: the id tells them apart.
        at = NOW + timedelta(minutes=number // 2)
        call, _ = calls.hand_over(new(f"k{number}", at=at))
        calls.conclude(call, verdict("loans" if number % 2 else "survey"))
    calls.hand_over(new("theirs", user_id="wang"))
    seen: list[str] = []
    before = None
    while page := calls.inbox("li", 2, before):
        seen += [one.call_id for one in page]
        before = (page[-1].at, page[-1].call_id)
    assert seen == ["k4", "k3", "k2", "k1", "k0"]
    assert [one.call_id for one in calls.inbox("li", 9, category="loans")] == ["k3", "k1"]
    assert calls.inbox("li", 9, standing="illegal") == []


def test_calls_go_with_their_user_their_number_and_their_time(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    calls = store.screened_calls
    kept = [
        ("a", new("a", user_id="li")),
        ("b", new("b", user_id="wang")),
        ("c", new("c", user_id="wang", number="+8613900139000")),
        ("d", new("d", user_id="zhao", number="+8613900139009")),
    ]
    for name, one in kept:
        call, _ = calls.hand_over(one)
        calls.recorded(call, f"{name}.ogg")
        calls.conclude(call, verdict(webhooks=(URL,)))
    store.screening_corrections.correct("li", "a", "delivery", "normal", "li")
    store.screening_corrections.want("li", ["delivery"])
    assert calls.delete_of_number("+8613800138000").recordings == ("a.ogg", "b.ogg")
    assert calls.delete_of_user("li").calls == 0
    assert store.screening_corrections.wanted("li") is None
    assert calls.delete("zhao", "d").recordings == ("d.ogg",)
    with pytest.raises(UnknownCallError):
        calls.delete("zhao", "d")
    assert calls.expire(datetime.now(UTC) - timedelta(days=1)).calls == 0
    assert calls.expire(datetime.now(UTC) + timedelta(days=1)).recordings == ("c.ogg",)
    engine = create_engine(expand_url(store_url))
    with engine.connect() as connection:
        for table in ("corrections", "notices", "deliveries", "settings"):
            count = connection.execute(text(f"SELECT count(*) FROM screening_{table}")).scalar()
            assert count == 0, table
    engine.dispose()
    if store_url.startswith("sqlite"):
        store.close()
        path = Path(str(expand_url(store_url).database))
        assert b"+8613800138000" not in path.read_bytes()
        with open_store(store_url) as again:
            assert again.screened_calls.inbox("wang", 9) == []
    del tmp_path
