"""Machines whose clocks differ agree on the time by the database's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

import pytest

from persona_ray.store import Store

AHEAD = timedelta(minutes=10)


class Ahead(datetime):
    """A clock that is wrong."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + AHEAD


@pytest.fixture
def wrong_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_ray.store.database.datetime", Ahead)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
@pytest.mark.usefixtures("wrong_clock")
def test_a_server_has_the_clock_of_all(store: Store) -> None:
    first = store.now()
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=30)
    assert first.tzinfo is not None
    assert timedelta(0) <= store.now() - first < timedelta(seconds=30), "a reading is carried on"


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_a_reading_is_not_carried_on_for_ever(store: Store) -> None:
    read = store.now()
    # As if the server's clock had been set, and a minute had gone.
    database = store._database
    database._reading = (database._reading[0] - 61, read - AHEAD)
    assert abs(store.now() - datetime.now(UTC)) < timedelta(seconds=30)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("wrong_clock")
def test_a_file_has_the_clock_of_its_machine(store: Store) -> None:
    assert store.now() - datetime.now(UTC) > AHEAD - timedelta(seconds=30)
