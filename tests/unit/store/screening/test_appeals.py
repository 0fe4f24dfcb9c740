"""Who is in the set by reports appeals, and an operator decides."""

from __future__ import annotations

import pytest

from persona_ray.store import Store
from persona_ray.store.screening.appeals import (
    AppealDecidedError,
    NotInSetError,
    UnknownAppealError,
)
from persona_ray.store.screening.changes import NUMBERS
from persona_ray.store.screening.records import Appeal, AppealState
from tests.unit.store.screening.reporting import DAY, HOUR, JUDGE, NOW, NUMBER, listed, record, say


def test_a_granted_appeal_takes_the_number_out_and_keeps_it_out(store: Store) -> None:
    for person in "abc":
        say(store, person)
    appeal = Appeal(
        appeal_id="1", kind=NUMBERS, key=NUMBER, appellant="shop", text="we sell", made_at=NOW
    )
    assert store.appeals.make(appeal) == appeal
    assert [item.appeal_id for item in store.appeals.open()] == ["1"]
    decided = store.appeals.decide("1", True, "op", "a shoe shop", JUDGE, NOW + DAY)
    assert (decided.state, decided.decided_by) == (AppealState.GRANTED, "op")
    assert listed(store, NOW + DAY) == ""
    last = store.numbers.history("", NUMBER)[-1]
    assert (last.actor, last.reason) == ("op", "appeal granted: a shoe shop")
    assert [record(store, person)[1] for person in "abc"] == [1, 1, 1]
    # The same persons again, now with a record, and a new one: less than it took before.
    for person in "abcd":
        say(store, person, NOW + 2 * DAY)
    assert listed(store, NOW + 2 * DAY) == ""
    assert store.appeals.open() == []
    with pytest.raises(AppealDecidedError):
        store.appeals.decide("1", False, "op", "", JUDGE, NOW)
    with pytest.raises(UnknownAppealError):
        store.appeals.decide("2", False, "op", "", JUDGE, NOW)


def test_a_refused_appeal_confirms_the_reports_and_all_open_ones_are_decided_at_once(
    store: Store,
) -> None:
    for place, person in enumerate("abc"):
        say(store, person, NOW + HOUR * place)
    at = NOW + DAY
    for name in ("1", "2"):
        store.appeals.make(
            Appeal(
                appeal_id=name,
                kind=NUMBERS,
                key=NUMBER,
                appellant=f"caller {name}",
                text="",
                made_at=at,
            )
        )
    again = Appeal(
        appeal_id="3", kind=NUMBERS, key=NUMBER, appellant="caller 1", text="", made_at=at
    )
    assert store.appeals.make(again).appeal_id == "1"
    store.appeals.decide("1", False, "op", "a known fraud", JUDGE, at)
    other = store.appeals.get("2")
    assert other is not None
    assert other.state == AppealState.REFUSED
    assert listed(store, at) == "illegal"
    assert [record(store, person)[0] for person in "abc"] == [1, 1, 0]


def test_nobody_appeals_against_nothing(store: Store) -> None:
    appeal = Appeal(appeal_id="1", kind=NUMBERS, key=NUMBER, appellant="a", text="", made_at=NOW)
    with pytest.raises(NotInSetError):
        store.appeals.make(appeal)
