"""`open_page` over the application of assistance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.store import open_store
from tests.browser.assist.service import Assist, serve
from tests.unit.serving.assist.parts import fakes


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"workspace={tmp_path}"])


@pytest.fixture
def served(config: RunConfig) -> Iterator[Assist]:
    with open_store(config.store_url) as store, serve(config, store, fakes(config)) as found:
        yield found


@pytest.fixture
def key(served: Assist) -> str:
    return served.key
