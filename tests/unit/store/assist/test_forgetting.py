"""Who is forgotten stands in no table of assistance any more; others' rows are as they were."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, select

from persona_ray.store import Store
from persona_ray.store.assist.records import Said
from persona_ray.store.tables import Base
from persona_ray.store.urls import expand_url
from tests.unit.store.assist.fill import LATE_S, begin, decide, scorer

# No person is named there but operators, whose keys are revoked by themselves.
OPERATORS = {"assist_libraries", "assist_retrainings"}


def fill(store: Store, agent: str, customer: str) -> None:
    call_id = f"call of {customer}"
    push_id = decide(store, begin(store, agent, call_id, customer))
    for text in ("first", "second"):
        said = Said(action="edited", text=f"{text} to {customer}")
        store.feedback.give(push_id, said, scorer, LATE_S, datetime.now(UTC))


def rows(url: str, mark: str) -> dict[str, int]:
    """How many rows of each table of assistance name somebody; a push's id has the call's."""
    engine = create_engine(expand_url(url))
    found = {}
    with engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            if table.name.startswith("assist_") and table.name not in OPERATORS:
                every = connection.execute(select(table)).tuples()
                found[table.name] = sum(mark in json.dumps(list(row), default=str) for row in every)
    engine.dispose()
    return found


@pytest.mark.parametrize("how", ["customer", "call", "agent", "deletion", "time"])
def test_who_is_forgotten_stands_in_no_table(store: Store, store_url: str, how: str) -> None:
    fill(store, "zhao", "c1")
    fill(store, "bob", "c2")
    before = {name: rows(store_url, name) for name in ("c1", "c2")}
    # A table that is not filled here: fill it.
    assert min(before["c1"].values()) > 0
    calls = store.assist_calls
    if how == "customer":
        assert store.forget_customer("c1").assist_calls == 1
    elif how == "call":
        assert store.forget_customer("", ["call of c1"]).assist_calls == 1
    elif how == "agent":
        assert calls.forget_agent("zhao") == 1
    elif how == "deletion":
        calls.delete("zhao", "call of c1")
    else:
        calls.settle(calls.get("zhao", "call of c1"), {}, 2, ended=True)
        assert calls.expire(datetime.now(UTC) - timedelta(days=1)) == 0
        assert calls.expire(datetime.now(UTC) + timedelta(days=1)) == 1
    assert set(rows(store_url, "c1").values()) == {0}
    assert set(rows(store_url, "zhao").values()) == {0}
    assert rows(store_url, "c2") == before["c2"]
