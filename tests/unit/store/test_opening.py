"""Opening, migrating and refusing databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from persona_ray.errors import ConfigError, StoreError
from persona_ray.store import Annotation, expand_url, open_store, printable_url
from persona_ray.store.tables import Base
from tests.postgres import PASSWORD
from tests.unit.store.forked import at_once


def test_migrations_lead_to_exactly_the_tables_of_the_code(empty_url: str) -> None:
    open_store(empty_url).close()
    engine = create_engine(expand_url(empty_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert {"annotations", "split_assignments"} <= set(inspect(connection).get_table_names())
    engine.dispose()


def test_reopening_keeps_data_and_revision(empty_url: str) -> None:
    with open_store(empty_url) as store:
        store.annotations.save([Annotation(annotator="wang", label="red", clip_id="c1")])
    with open_store(empty_url) as store:
        assert [item.label for item in store.annotations.all()] == ["red"]


def test_a_database_of_a_newer_release_is_refused(empty_url: str) -> None:
    open_store(empty_url).close()
    engine = create_engine(expand_url(empty_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match="'9999', made by a newer release"):
        open_store(empty_url)


def test_many_processes_open_a_new_store_at_once(empty_url: str) -> None:
    at_once("open_store(url).close()", empty_url, 4)
    open_store(empty_url).close()


def test_sqlite_runs_with_wal_foreign_keys_and_patience(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 's.sqlite'}") as store:
        with store._database.engine.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "foreign_keys", "secure_delete")
            }
            patience_ms = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
        assert found == {"journal_mode": "wal", "foreign_keys": 1, "secure_delete": 1}
        assert patience_ms >= 30_000


def test_in_memory_store_keeps_one_database() -> None:
    with open_store("sqlite://") as store:
        store.annotations.save([Annotation(annotator="wang", label="red", clip_id="c1")])
        assert store.annotations.count() == 1


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_bytes(b"these are my notes, not a database\n" * 50)
    with pytest.raises(StoreError, match=r"notes\.sqlite.*not a database"):
        open_store(f"sqlite:///{path}")


def test_a_foreign_sqlite_database_keeps_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE calls (call_id TEXT)")
    with open_store(f"sqlite:///{path}"):
        pass
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (0,)


def test_a_wrong_password_is_an_error_without_the_password(postgres_url: str) -> None:
    wrong = expand_url(postgres_url).set(password="wrong-0ne")
    with pytest.raises(StoreError) as caught:
        open_store(wrong.render_as_string(hide_password=False))
    assert "password authentication failed" in str(caught.value)
    assert "wrong-0ne" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_server_is_a_one_line_error() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1") as caught:
        open_store("postgresql://someone:hush@127.0.0.1:1/nothing")
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_url_of_a_store_hides_the_password(postgres_url: str) -> None:
    with open_store(postgres_url) as store:
        assert PASSWORD not in store.url
        assert "***" in store.url


@pytest.mark.parametrize("password", ["plain", "p@ss:w/rd?x=1#%20", "${X}", "密码 "])
def test_a_password_from_the_environment_may_hold_any_character(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", password)
    monkeypatch.setenv("DB_HOST", "db.example")
    url = expand_url("postgresql://u:${DB_PASSWORD}@${DB_HOST}:5432/calls")
    assert (url.username, url.password, url.host) == ("u", password, "db.example")
    assert url.drivername == "postgresql+psycopg"
    assert password not in printable_url(url)


def test_a_whole_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p%40ss@h/d")
    assert expand_url("${DATABASE_URL}").password == "p@ss"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///${NO_SUCH_VARIABLE}/x", r"store\.url uses \$\{NO_SUCH_VARIABLE\}"),
        ("runs/store.sqlite", "no database URL"),
        ("nosuchdb://x/y", "no driver is installed for 'nosuchdb'"),
        ("postgresql://u:hush@h:port/d", "no database URL"),
    ],
)
def test_bad_urls_are_configuration_errors(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_store(url)
    assert "hush" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"s\.sqlite cannot be made"):
        open_store(f"sqlite:///{tmp_path / 'file' / 's.sqlite'}")
    with pytest.raises(StoreError, match="unable to open database file"):
        open_store(f"sqlite:///{tmp_path}")


def test_damage_that_shows_while_reading_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with open_store(f"sqlite:///{path}") as store:
        store.annotations.save(
            Annotation(annotator="wang", label="red", clip_id=f"c{number}", note="x" * 200)
            for number in range(2000)
        )
    with path.open("r+b") as file:
        # Behind the pages that opening looks at.
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 40_000)
    with (
        open_store(f"sqlite:///{path}") as store,
        pytest.raises(StoreError, match=r"s\.sqlite: database disk image is malformed"),
    ):
        list(store.annotations.all())


def test_a_server_that_goes_away_is_a_store_error(postgres_server: str) -> None:
    admin = create_engine(
        expand_url(postgres_server.format(database="postgres")), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE leaving"))
    with open_store(postgres_server.format(database="leaving")) as store:
        with admin.connect() as connection:
            connection.execute(text("ALTER DATABASE leaving ALLOW_CONNECTIONS false"))
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = 'leaving'"
                )
            )
        admin.dispose()
        with pytest.raises(StoreError, match="not currently accepting connections") as caught:
            store.annotations.count()
        assert PASSWORD not in str(caught.value)
