"""PostgreSQL started anew under an open store: what was acknowledged is there, what was not says
so, and the next transaction is well again."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from persona_ray.config.corpus import ArchiveConfig
from persona_ray.corpus.archive import CallArchive
from persona_ray.errors import StoreError
from persona_ray.store import open_store, postgresql
from persona_ray.store.database import Database
from persona_ray.store.urls import expand_url
from tests.postgres import PASSWORD, Postgres, postgres
from tests.unit.corpus.business import call_row, fill


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy: a server that is started anew is waited for as long as it takes."""
    monkeypatch.setattr(postgresql, "RESTART_S", 120.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


def test_a_transaction_in_flight_fails_once(server: Postgres) -> None:
    database = Database(expand_url(server.url.format(database="postgres")))
    with database.exclusive() as connection:
        connection.execute(text("CREATE TABLE kept (n INTEGER)"))
        connection.execute(text("INSERT INTO kept VALUES (1)"))

    def interrupted() -> None:
        with database.exclusive() as connection:
            connection.execute(text("INSERT INTO kept VALUES (2)"))
            server.stop()
            server.start()
            connection.execute(text("INSERT INTO kept VALUES (3)"))

    with pytest.raises(StoreError) as told:
        interrupted()
    assert "\n" not in str(told.value)
    assert PASSWORD not in str(told.value)
    with database.read() as session:
        assert session.execute(text("SELECT n FROM kept")).scalars().all() == [1]
    database.close()


def test_a_new_transaction_waits_for_a_server_that_was_there(server: Postgres) -> None:
    with open_store(server.url.format(database="postgres")) as store:
        before = store.annotations.count()
        server.stop()
        back = threading.Timer(1.0, server.start)
        back.start()
        assert store.annotations.count() == before
        back.join()


def test_one_that_stays_away_is_told_in_time(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "RESTART_S", 0.5)
    with open_store(server.url.format(database="postgres")) as store:
        server.stop()
        started = time.monotonic()
        with pytest.raises(StoreError, match="refused"):
            store.annotations.count()
        assert time.monotonic() - started > 0.4
    # Who begins is told at once.
    monkeypatch.setattr(postgresql, "RESTART_S", 60.0)
    with pytest.raises(StoreError, match="refused"):
        open_store(server.url.format(database="postgres"))
    server.start()


def test_a_walk_through_the_business_database_outlives_a_restart(server: Postgres) -> None:
    url = server.url.format(database="template1")
    fill(url, [call_row(f"c{number}") for number in range(4)])
    archive = CallArchive(ArchiveConfig(url=url, page_size=2))
    pages = pickle.loads(pickle.dumps(archive)).pages()
    found = [call.call_id for call in archive.read(next(pages))]
    server.stop()
    back = threading.Timer(0.5, server.start)
    back.start()
    found += [call.call_id for page in pages for call in archive.read(page)]
    back.join()
    assert found == ["c0", "c1", "c2", "c3"]
