"""Every test of the store runs on SQLite and on a real PostgreSQL, with voiceprints sealed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from persona_ray.store import Store, open_store
from tests.postgres import PASSWORD
from tests.unit.vault.fixed import a_vault


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """URL of an empty database, its password in the environment as users are told to keep it."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        monkeypatch.setenv("PERSONA_STORE_PASSWORD", PASSWORD)
        return url.replace(quote(PASSWORD, safe=""), "${PERSONA_STORE_PASSWORD}")
    return f"sqlite:///{tmp_path / 'new folder' / 'store.sqlite'}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url, vault=a_vault()) as opened:
        yield opened
