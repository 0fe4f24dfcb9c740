"""Colours of calls and customers, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from persona_ray.store import (
    ArchivedCall,
    ArchivedCustomer,
    RecognitionModel,
    SaveCounts,
    Store,
    expand_url,
)
from persona_ray.types import CallStatus, NothingUsable, QuarantineReason, Recognition

OLD, NEW = RecognitionModel("a" * 64), RecognitionModel("b" * 64, "persona", "2")
COLOURS = Recognition({"red": 0.1, "blue": 0.2 + 1e-17, "yellow": 1 / 3, "green": 0.3}, clips=7)
OTHER = Recognition({"red": 0.4, "blue": 0.2, "yellow": 0.3, "green": 0.1}, clips=2)


def call(number: int, customer: str = "", **changes: object) -> ArchivedCall:
    plain = ArchivedCall(
        call_id=f"call-{number}",
        customer_id=customer or f"customer-{number}",
        status=CallStatus.OK,
        result=COLOURS,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def customer(name: str, **changes: object) -> ArchivedCustomer:
    plain = ArchivedCustomer(customer_id=name, result=COLOURS, calls=3, calls_used=2)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_result_comes_back_as_it_went_in(store: Store) -> None:
    silent = call(
        2,
        status=CallStatus.NOTHING_USABLE,
        result=NothingUsable("没有人说话; 50 %"),
        reason=QuarantineReason.SILENT,
        flags=("mulaw",),
    )
    aside = call(
        3,
        status=CallStatus.QUARANTINED,
        result=NothingUsable("no file"),
        reason=QuarantineReason.UNREADABLE,
    )
    store.recognitions.save_calls(NEW, [call(1), silent, aside])
    found = list(store.recognitions.calls(NEW.fingerprint))
    assert [replace(one, recognised_at=None) for one in found] == [call(1), silent, aside]
    first = found[0].result
    assert isinstance(first, Recognition)
    # To the last bit, and in the order of the model's labels.
    assert list(first.probabilities.items()) == list(COLOURS.probabilities.items())
    assert (first.primary, first.secondary) == ("yellow", "green")
    assert found[0].recognised_at is not None
    assert abs(found[0].recognised_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_new_models_answers_stand_beside_the_old_ones(store: Store) -> None:
    store.recognitions.save_customers(OLD, [customer("u1")])
    nothing = customer("u1", result=NothingUsable("silent"), calls_used=0)
    store.recognitions.save_customers(NEW, [nothing, customer("u2")])
    both = store.recognitions.customer("u1")
    assert set(both) == {OLD.fingerprint, NEW.fingerprint}
    assert both[OLD.fingerprint].result == COLOURS
    assert both[NEW.fingerprint].result == NothingUsable("silent")
    assert store.recognitions.customer("nobody") == {}
    assert store.recognitions.models() == [OLD, NEW]
    store.recognitions.clear(NEW.fingerprint)
    assert set(store.recognitions.customer("u1")) == {OLD.fingerprint}
    assert store.recognitions.models() == [OLD]


def test_saving_again_keeps_the_time_and_a_change_gives_a_new_one(store: Store) -> None:
    calls = [call(number) for number in range(1100)]
    assert store.recognitions.save_calls(OLD, calls) == SaveCounts(added=1100)
    before = list(store.recognitions.calls(OLD.fingerprint))
    assert store.recognitions.save_calls(OLD, calls) == SaveCounts(unchanged=1100)
    assert list(store.recognitions.calls(OLD.fingerprint)) == before
    counts = store.recognitions.save_calls(OLD, [call(5, result=OTHER), call(9)])
    assert counts == SaveCounts(updated=1, unchanged=1)
    after = {one.call_id: one for one in store.recognitions.calls(OLD.fingerprint)}
    old = {one.call_id: one for one in before}
    assert after["call-5"].result == OTHER
    times = [one.recognised_at for one in (after["call-5"], old["call-5"])]
    assert times[0] > times[1]  # type: ignore[operator]
    assert after["call-9"] == old["call-9"]
    assert store.recognitions.count_calls(OLD.fingerprint) == 1100
    assert store.recognitions.count_calls(NEW.fingerprint) == 0


def test_a_model_that_is_registered_later_gets_its_name(store: Store) -> None:
    store.recognitions.save_calls(OLD, [call(1)])
    store.recognitions.save_calls(replace(OLD, name="persona", version="3"), [call(2)])
    store.recognitions.save_calls(OLD, [call(3)])
    assert store.recognitions.models() == [RecognitionModel(OLD.fingerprint, "persona", "3")]


def test_calls_come_by_customer_in_the_order_of_code_points(store: Store) -> None:
    ids = ["Zhang", "a", "b", "é", "王"]
    calls = [
        call(number, customer=name, call_id=f"{name}-{order}")
        for number, name in enumerate(reversed(ids))
        for order in ("c", "B", "a")
    ]
    store.recognitions.save_calls(OLD, [*calls, call(99, call_id="nobody's", customer_id="")])
    groups = list(store.recognitions.calls_by_customer(OLD.fingerprint))
    assert [name for name, _ in groups] == sorted(ids) == ids
    assert {tuple(one.call_id[-1] for one in mine) for _, mine in groups} == {("B", "a", "c")}


def test_nothing_is_saved_when_one_fails(store: Store) -> None:
    bad = call(2)
    object.__setattr__(bad, "customer_id", None)
    with pytest.raises(Exception, match=r"(?i)null"):
        store.recognitions.save_calls(OLD, [call(1), bad])
    assert store.recognitions.count_calls(OLD.fingerprint) == 0


def test_a_forgotten_customer_leaves_no_row(store: Store, store_url: str) -> None:
    for model in (OLD, NEW):
        store.recognitions.save_calls(
            model, [call(1, "gone"), call(2, customer_id=""), call(3, "stays")]
        )
        store.recognitions.save_customers(model, [customer("gone"), customer("stays")])
    forgotten = store.forget_customer("gone", call_ids=["call-2"])
    assert forgotten.recognitions == 2 * 3
    assert [one.call_id for one in store.recognitions.calls(OLD.fingerprint)] == ["call-3"]
    assert [one.customer_id for one in store.recognitions.customers(NEW.fingerprint)] == ["stays"]
    engine = create_engine(expand_url(store_url))
    with engine.connect() as connection:
        for table in ("call_recognitions", "customer_recognitions"):
            rows = [str(row) for row in connection.execute(text(f"SELECT * FROM {table}"))]
            assert rows
            assert not [row for row in rows if "gone" in row or "call-2" in row]
    engine.dispose()
