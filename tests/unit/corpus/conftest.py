"""Databases of both kinds."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def business_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty business database: SQLite, then a real PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'business.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))
