"""The web application over a service without a model, and a key to ask it with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.store import Store, open_store
from tests.unit.serving.fakes import FakeService


@pytest.fixture
def anyio_backend() -> str:
    """Tests of asynchronous code run on asyncio, the loop that serves."""
    return "asyncio"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's file, once for all tests: making its tables takes longer than most of them."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{shutil.copy(empty_store, tmp_path)}") as opened:
        yield opened


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"workspace={tmp_path}"])
