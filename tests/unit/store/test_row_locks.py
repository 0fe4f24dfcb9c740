"""Who takes a call over waits for a step of it that is under way, and sees what it settled."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text, update

from persona_ray.store import Store
from persona_ray.store.assist.tables import AssistCallRow
from persona_ray.store.live_calls import LiveCallExistsError, SupersededError
from persona_ray.store.screening.call_records import (
    CallExistsError,
    CallSupersededError,
    ScreenedCall,
)
from persona_ray.store.screening.call_tables import ScreenedCallRow
from persona_ray.store.service_tables import LiveCallRow
from tests.unit.store.assist.fill import begin
from tests.unit.store.screening.test_calls import SOUND, new

# The table of the call, how it is taken over, and how that is refused.
Taking = tuple[type[Any], Callable[[], object], type[Exception]]


def live_again(store: Store) -> Taking:
    store.live_calls.open("ann", "k1", SOUND)
    return LiveCallRow, lambda: store.live_calls.open("ann", "k1", SOUND), LiveCallExistsError


def assisted_again(store: Store) -> Taking:
    begin(store)
    return AssistCallRow, lambda: begin(store), LiveCallExistsError


def assisted_claimed(store: Store) -> Taking:
    call = begin(store)
    return AssistCallRow, lambda: store.assist_calls.claim_abandoned(call), SupersededError


def screened_again(store: Store) -> Taking:
    _screened(store)
    return ScreenedCallRow, lambda: _screened(store), CallExistsError


def screened_claimed(store: Store) -> Taking:
    call = _screened(store)
    claim = store.screened_calls.claim_abandoned
    return ScreenedCallRow, lambda: claim(call), CallSupersededError


def _screened(store: Store) -> ScreenedCall:
    store.screened_calls.hand_over(new())
    return store.screened_calls.open("li", "k1", SOUND, None)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "begun", [live_again, assisted_again, assisted_claimed, screened_again, screened_claimed]
)
def test_who_takes_over_sees_the_step_under_way(
    store: Store, begun: Callable[[Store], Taking]
) -> None:
    row, take, refusal = begun(store)
    held = "changed_at" if row is LiveCallRow else "alive_at"
    step = {"checkpoint": {"at": 1}, held: store.now()}
    with ThreadPoolExecutor(1) as pool:
        with store._database.write_row() as session:
            session.execute(update(row).values(step))
            taken = pool.submit(take)
            _wait_for_a_waiter(store)
        with pytest.raises(refusal):
            taken.result(timeout=30)


def _wait_for_a_waiter(store: Store) -> None:
    deadline = time.monotonic() + 30
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while True:
        with store._database.read() as session:
            if session.scalar(waits):
                return
        assert time.monotonic() < deadline, "nobody waited"
        time.sleep(0.01)
