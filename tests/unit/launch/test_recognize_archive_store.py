"""What the archive job leaves in the store, beside its files and other models' results."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy

from persona_ray.config import RunConfig
from persona_ray.models.manifest import digest
from persona_ray.store import Store, open_store
from persona_ray.types import NothingUsable, Recognition
from tests.unit.corpus.folders import digests
from tests.unit.launch.recognised import (
    CALLS,
    configured,
    make_bundle,
    make_calls,
    recognise,
    rows,
    shares,
)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return configured(tmp_path, make_calls(tmp_path))


def test_the_store_has_what_the_files_have(config: RunConfig) -> None:
    found = recognise(config)
    model = digest(config.bundle_dir)
    with open_store(config.store_url) as store:
        calls = {call.call_id: call for call in store.recognitions.calls(model)}
        customers = {one.customer_id: one for one in store.recognitions.customers(model)}
    by_id = {row["call_id"]: row for row in rows(found, "calls")}
    assert set(calls) == set(by_id)
    for name, call in calls.items():
        row = by_id[name]
        assert (call.customer_id, call.status) == (row["customer_id"], row["status"])
        if isinstance(call.result, Recognition):
            assert dict(call.result.probabilities) == shares(row)
            assert call.result.clips == row["clips"]
        else:
            assert call.result == NothingUsable(row["detail"])
    for row in rows(found, "customers"):
        result = customers[row["customer_id"]].result
        if isinstance(result, Recognition):
            assert dict(result.probabilities) == shares(row)
        else:
            assert result == NothingUsable(row["reason"])


def test_a_new_models_results_stand_beside_the_old_ones(config: RunConfig, tmp_path: Path) -> None:
    first = recognise(config)
    before = digests(first.folder)
    other = make_bundle(tmp_path / "other", seed=1)
    chosen = config.recognition.model_copy(update={"bundle": str(other)})
    second = recognise(config.model_copy(update={"recognition": chosen}))
    assert second.run.new_calls == CALLS
    assert second.folder != first.folder
    assert digests(first.folder) == before
    with open_store(config.store_url) as store:
        both = store.recognitions.customer("customer-1")
        assert set(both) == {digest(config.bundle_dir), digest(other)}
        assert both[digest(config.bundle_dir)].result != both[digest(other)].result


def test_a_store_that_is_new_gets_what_the_files_have(config: RunConfig, tmp_path: Path) -> None:
    recognise(config)
    model = digest(config.bundle_dir)

    def answers(store: Store) -> list[tuple[object, ...]]:
        return [(c.call_id, c.result, c.reason) for c in store.recognitions.calls(model)]

    with open_store(config.store_url) as store:
        expected = answers(store)
    moved = configured(
        tmp_path, config.archive.url, store={"url": f"sqlite:///{tmp_path / 'moved.sqlite'}"}
    )
    assert recognise(moved).run.new_calls == 0
    with open_store(moved.store_url) as store:
        assert [
            (c.call_id, c.result, c.reason) for c in store.recognitions.calls(model)
        ] == expected
        assert len(list(store.recognitions.customers(model))) == 5


def test_a_store_in_postgresql_changes_no_byte_of_the_files(
    config: RunConfig, tmp_path: Path, postgres_url: str
) -> None:
    expected = digests(recognise(config).folder)
    elsewhere = configured(
        tmp_path, config.archive.url, name="elsewhere", store={"url": postgres_url}
    )
    assert digests(recognise(elsewhere).folder) == expected
    assert recognise(elsewhere).run.new_calls == 0
    make_calls(tmp_path, first=CALLS, calls=1)
    assert recognise(elsewhere).summary.calls == CALLS + 1


def test_a_forgotten_customer_does_not_come_back(config: RunConfig, tmp_path: Path) -> None:
    recognise(config)
    with open_store(config.store_url) as store:
        store.forget_customer("customer-1")
    engine = sqlalchemy.create_engine(config.archive.url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM calls WHERE customer_id = 'customer-1'"))
    engine.dispose()
    make_calls(tmp_path, first=CALLS, calls=1)
    grown = recognise(config)
    assert "customer-1" not in {row["customer_id"] for row in rows(grown, "customers")}
    with open_store(config.store_url) as store:
        assert store.recognitions.customer("customer-1") == {}
