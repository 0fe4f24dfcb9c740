"""Assistance over parts without models; what is loud is speech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig, load_config
from persona_ray.serving.assist import hub
from persona_ray.store import Store
from tests.unit.serving.assist.parts import Fakes, application, fakes, key_of
from tests.unit.serving.live.sounds import LoudIsSpeech


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loud is speech."""
    monkeypatch.setattr(hub, "VoiceActivity", LoudIsSpeech)


@pytest.fixture
def assist(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"workspace={tmp_path}"])


@pytest.fixture
def fake(assist: RunConfig) -> Fakes:
    return fakes(assist)


@pytest.fixture
def client(loud: None, assist: RunConfig, store: Store, fake: Fakes) -> Iterator[TestClient]:
    del loud
    with TestClient(application(assist, store, fake)) as opened:
        yield opened


@pytest.fixture
def key(store: Store) -> dict[str, str]:
    """Headers with an agent's key."""
    return key_of(store)
