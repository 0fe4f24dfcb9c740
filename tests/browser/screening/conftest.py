"""`open_page` over the screening application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.serving.screening import hub
from persona_ray.store import open_store
from tests.browser.screening.service import Screening, serve
from tests.unit.serving.live.sounds import LoudIsSpeech
from tests.unit.serving.screening.parts import fakes


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(
        None,
        [
            f"workspace={tmp_path}",
            "screening.dialogue.silence_s=3",
            "screening.dialogue.max_turns=3",
            "screening.dialogue.part_s=20",
            "screening.policy.ask_s=20",
            "screening.reports.min_reporters=3",
            "screening.reports.maturity_days=0",
        ],
    )


@pytest.fixture
def served(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screening]:
    """What is loud is speech."""
    monkeypatch.setattr(hub, "VoiceActivity", LoudIsSpeech)
    with open_store(config.store_url) as store, serve(config, store, fakes(config)) as found:
        yield found


@pytest.fixture
def key(served: Screening) -> str:
    return served.key
