"""Every test of the store runs on SQLite and on a real PostgreSQL, with voiceprints sealed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, text

from persona_ray.store import Store, expand_url, open_store
from persona_ray.store.tables import Base
from tests.postgres import PASSWORD, new_schema
from tests.unit.vault.fixed import a_vault

BOTH = ["sqlite", "postgresql"]


@pytest.fixture(params=BOTH)
def empty_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """URL of a database without tables, its password in the environment as users are told to keep
    it."""
    if request.param == "postgresql":
        return _without_password(request.getfixturevalue("postgres_url"), monkeypatch)
    return f"sqlite:///{tmp_path / 'new folder' / 'store.sqlite'}"


@pytest.fixture(scope="session")
def ready_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a store without rows. Making its tables takes longer than most tests."""
    path = tmp_path_factory.mktemp("ready") / "store.sqlite"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def ready_schema(postgres_server: str) -> str:
    """The same as a schema, which tests use one after the other."""
    url = new_schema(postgres_server)
    open_store(url).close()
    return url


@pytest.fixture(params=BOTH)
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """URL of a store without rows."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("ready_schema"))
        _clear(url)
        return _without_password(url, monkeypatch)
    path = shutil.copy(request.getfixturevalue("ready_file"), tmp_path / "store.sqlite")
    return f"sqlite:///{path}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url, vault=a_vault()) as opened:
        yield opened


def _clear(url: str) -> None:
    engine = create_engine(expand_url(url))
    with engine.begin() as connection:
        tables = ", ".join(Base.metadata.tables)
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    engine.dispose()


def _without_password(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PERSONA_STORE_PASSWORD", PASSWORD)
    return url.replace(quote(PASSWORD, safe=""), "${PERSONA_STORE_PASSWORD}")
