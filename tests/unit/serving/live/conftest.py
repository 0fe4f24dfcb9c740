"""Live calls to a service that judges by the sound alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.serving.live import hub
from persona_ray.store import Store
from tests.unit.serving.live.lines import Listener, application, key_of
from tests.unit.serving.live.sounds import LoudIsSpeech


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loud is speech."""
    monkeypatch.setattr(hub, "VoiceActivity", LoudIsSpeech)


@pytest.fixture
def service() -> Listener:
    return Listener()


@pytest.fixture
def client(config: RunConfig, service: Listener, store: Store) -> Iterator[TestClient]:
    with TestClient(application(config, service, store)) as opened:
        yield opened


@pytest.fixture
def key(store: Store) -> dict[str, str]:
    """Headers with a key for live calls."""
    return key_of(store)


@pytest.fixture
def token(key: dict[str, str]) -> str:
    """The same key by itself."""
    return key["authorization"].removeprefix("Bearer ")
