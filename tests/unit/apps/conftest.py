"""A workspace with a customer in every place, made once: it takes a corpus and a recognition."""

from __future__ import annotations

import pytest

from persona_ray.config import RunConfig
from tests.unit.apps.planted import make_workspace


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """To be copied (`planted.copied`), not changed."""
    return make_workspace(tmp_path_factory.mktemp("planted"))
