"""Screening over parts without models; what is loud is speech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig, load_config
from persona_ray.serving.screening import hub
from persona_ray.store import Store
from tests.unit.serving.live.sounds import LoudIsSpeech
from tests.unit.serving.screening.parts import Fakes, application, fakes, key_of
from tests.unit.serving.screening.sets_service import Sets, serving


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loud is speech."""
    monkeypatch.setattr(hub, "VoiceActivity", LoudIsSpeech)


@pytest.fixture
def gone_s() -> float:
    """When a call that nobody holds ends: long, where a test is not about it."""
    return 60


@pytest.fixture
def screening(tmp_path: Path, gone_s: float) -> RunConfig:
    """A configuration in which nobody waits long, and a busy machine is waited for."""
    return load_config(
        None,
        [
            f"workspace={tmp_path}",
            "screening.dialogue.silence_s=3",
            "screening.dialogue.max_turns=3",
            "screening.dialogue.part_s=20",
            f"screening.gone_s={gone_s}",
        ],
    )


@pytest.fixture
def sets(store: Store, tmp_path: Path) -> Iterator[Sets]:
    """A service of sets on a port of this machine."""
    with serving(store, tmp_path / "service", "screening.distribution.crowd=4") as running:
        yield running


@pytest.fixture
def fake(screening: RunConfig) -> Fakes:
    return fakes(screening)


@pytest.fixture
def client(loud: None, screening: RunConfig, store: Store, fake: Fakes) -> Iterator[TestClient]:
    del loud
    with TestClient(application(screening, store, fake)) as opened:
        yield opened


@pytest.fixture
def key(store: Store) -> dict[str, str]:
    """Headers with a user's key."""
    return key_of(store)
