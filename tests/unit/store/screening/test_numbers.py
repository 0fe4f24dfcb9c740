"""Sets of numbers: whose entry counts, what gives way to what, history, expiry, roll-back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from persona_ray.store import Store
from persona_ray.store.screening.changes import NUMBERS, What
from persona_ray.store.screening.records import Action, NumberEntry

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FRAUD, SHOP = "+8613800000001", "+862165529988"


def entry(number: str = FRAUD, standing: str = "illegal", **values: Any) -> NumberEntry:
    return NumberEntry(**({"number": number, "standing": standing, "origin": "operator"} | values))


def actions(store: Store, owner: str = "", number: str = FRAUD) -> list[tuple[Action, str, str]]:
    return [(item.action, item.actor, item.reason) for item in store.numbers.history(owner, number)]


def told(store: Store, owner: str = "") -> list[tuple[str, What]]:
    return [(item.key, item.what) for item in store.changes.since(NUMBERS, 0, 99, owner)]


def roll_back(store: Store, since: datetime, now: datetime) -> list[str]:
    with store._database.write() as session:
        return store.numbers.roll_back(session, since, "op", "a wrong model", now)


def test_the_users_own_entry_comes_before_the_shared_one(store: Store) -> None:
    store.numbers.put(entry(SHOP), "op", NOW)
    mine = entry(SHOP, "normal", owner="ann", origin="user", name="Shoe shop")
    store.numbers.put(mine, "ann", NOW)
    ann, bob = (store.numbers.look_up(SHOP, user, NOW) for user in ("ann", "bob"))
    assert ann is not None
    assert bob is not None
    assert (ann.standing, ann.name, ann.owner) == ("normal", "Shoe shop", "ann")
    assert (bob.standing, bob.owner) == ("illegal", "")
    assert store.numbers.look_up(FRAUD, "ann", NOW) is None


def test_the_shared_entry_shows_again_when_the_own_one_has_expired(store: Store) -> None:
    store.numbers.put(entry(SHOP), "op", NOW)
    mine = entry(SHOP, "normal", owner="ann", origin="user", expires_at=NOW + DAY)
    store.numbers.put(mine, "ann", NOW)
    just_before = store.numbers.look_up(SHOP, "ann", NOW + DAY - timedelta(seconds=1))
    at_the_end = store.numbers.look_up(SHOP, "ann", NOW + DAY)
    assert just_before is not None
    assert at_the_end is not None
    assert (just_before.owner, at_the_end.owner) == ("ann", "")
    assert store.numbers.page("ann", NOW + DAY) == []


def test_expired_entries_leave_with_history_and_word_to_devices(store: Store) -> None:
    store.numbers.put(entry(expires_at=NOW + DAY), "op", NOW)
    store.numbers.put(entry(SHOP), "op", NOW)
    assert store.numbers.expire(NOW) == 0
    assert store.numbers.expire(NOW + DAY) == 1
    assert [item.number for item in store.numbers.page("", NOW + DAY)] == [SHOP]
    assert actions(store)[-1] == (Action.EXPIRED, "expiry", "its time was over")
    assert told(store)[-1] == (FRAUD, What.REMOVED)


def test_an_automatic_entry_gives_way_to_a_person_and_never_the_other_way(store: Store) -> None:
    call = entry(origin="call", standing="abnormal", expires_at=NOW + DAY)
    store.numbers.put(call, "verdict", NOW)
    by_reports = entry(origin="reports", expires_at=NOW + 9 * DAY)
    assert store.numbers.put(by_reports, "reports", NOW).origin == "reports"
    assert store.numbers.put(call, "verdict", NOW).origin == "reports"
    assert store.numbers.put(entry(standing="normal"), "op", NOW).standing == "normal"
    assert store.numbers.put(by_reports, "reports", NOW).standing == "normal"
    assert [item.actor for item in store.numbers.history("", FRAUD)] == ["verdict", "reports", "op"]
    over = entry(origin="user", standing="normal", expires_at=NOW + DAY, number=SHOP)
    store.numbers.put(over, "op", NOW)
    later = store.numbers.put(entry(SHOP, origin="call"), "verdict", NOW + 2 * DAY)
    assert later.origin == "call"
    assert [done for done, _, _ in actions(store, number=SHOP)][1:] == ["expired", "added"]


def test_history_says_who_why_and_when_and_what_it_was(store: Store) -> None:
    store.numbers.put(entry(category="loans", reason="three complaints"), "op", NOW)
    store.numbers.put(entry(category="loans", reason="three complaints"), "op", NOW + DAY)
    changed = entry(standing="abnormal", category="loans", reason="a real bank")
    store.numbers.put(changed, "eve", NOW + 2 * DAY)
    assert store.numbers.remove("", FRAUD, "op", "out of use", NOW + 3 * DAY)
    assert not store.numbers.remove("", FRAUD, "op", "out of use", NOW + 3 * DAY)
    found = store.numbers.history("", FRAUD)
    assert actions(store) == [
        (Action.ADDED, "op", "three complaints"),
        (Action.CHANGED, "eve", "a real bank"),
        (Action.REMOVED, "op", "out of use"),
    ]
    assert [item.at for item in found] == [NOW, NOW + 2 * DAY, NOW + 3 * DAY]
    assert [item.entry and item.entry["standing"] for item in found] == [
        "illegal",
        "abnormal",
        None,
    ]
    assert told(store) == [
        (FRAUD, What.ADDED),
        (FRAUD, What.CHANGED),
        (FRAUD, What.REMOVED),
    ]


def test_devices_hear_of_shared_entries_and_their_users_own_without_reasons(store: Store) -> None:
    store.numbers.put(entry(reason="Mr Li said so"), "op", NOW)
    store.numbers.put(entry(SHOP, "normal", owner="ann", origin="user"), "ann", NOW)
    assert told(store) == [(FRAUD, What.ADDED)]
    assert told(store, "ann") == [(SHOP, What.ADDED)]
    assert told(store, "bob") == []
    payload = store.changes.since(NUMBERS, 0, 9)[0].payload
    assert payload == {
        "standing": "illegal",
        "category": "",
        "name": "",
        "origin": "operator",
        "expires_at": None,
    }


def test_automatic_entries_are_rolled_back_to_what_they_were(store: Store) -> None:
    until = NOW + 90 * DAY
    was = entry("+861", "abnormal", origin="reports", category="loans", expires_at=until)
    store.numbers.put(was, "reports", NOW)
    store.numbers.put(entry("+862", standing="normal"), "op", NOW)
    old = entry("+865", origin="reports", expires_at=until)
    store.numbers.put(old, "reports", NOW)
    wrong: dict[str, Any] = {"origin": "reports", "category": "prize_fraud", "expires_at": until}
    for number in ("+861", "+863", "+864"):
        store.numbers.put(entry(number, **wrong), "reports", NOW + 2 * DAY)
    store.numbers.put(entry("+864"), "op", NOW + 2 * DAY)
    assert roll_back(store, NOW + DAY, NOW + 3 * DAY) == ["+861", "+863"]
    stand = {item.number: item for item in store.numbers.page("", NOW + 3 * DAY)}
    assert sorted(stand) == ["+861", "+862", "+864", "+865"]
    assert (stand["+861"].standing, stand["+861"].category) == ("abnormal", "loans")
    assert stand["+861"].expires_at == until
    assert stand["+864"].origin == "operator"
    assert actions(store, number="+863")[-1] == (Action.ROLLED_BACK, "op", "a wrong model")
    with pytest.raises(ValueError, match="operator"):
        store.numbers.roll_back(None, NOW, "op", "", NOW, ["operator"])  # type: ignore[arg-type]


def test_rolling_back_does_not_bring_back_what_a_person_took_out(store: Store) -> None:
    automatic = entry(origin="reports", expires_at=NOW + 90 * DAY)
    store.numbers.put(automatic, "reports", NOW)
    store.numbers.remove("", FRAUD, "op", "appeal granted", NOW + 2 * DAY)
    store.numbers.put(automatic, "reports", NOW + 3 * DAY)
    roll_back(store, NOW + DAY, NOW + 4 * DAY)
    assert store.numbers.look_up(FRAUD, "ann", NOW + 4 * DAY) is None


def test_a_forgotten_number_and_a_forgotten_user_leave_nothing(store: Store) -> None:
    store.numbers.put(entry(reason="Mr Li said so"), "op", NOW)
    store.numbers.put(entry(owner="ann", origin="user"), "ann", NOW)
    store.numbers.put(entry(SHOP, "normal", owner="ann", origin="user"), "ann", NOW)
    with store._database.write() as session:
        assert store.numbers.forget_number(session, FRAUD, NOW) == 6
    assert store.numbers.history("", FRAUD) == store.numbers.history("ann", FRAUD) == []
    assert told(store) == [(FRAUD, What.REMOVED)]
    with store._database.write() as session:
        assert store.numbers.forget_owner(session, "ann") > 0
    assert (store.numbers.page("ann", NOW), told(store, "ann")) == ([], [])
    assert store.numbers.history("ann", SHOP) == []
    with pytest.raises(ValueError, match="shared"):
        store.numbers.forget_owner(None, "")  # type: ignore[arg-type]
