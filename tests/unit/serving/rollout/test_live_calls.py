"""Live calls beside a challenger."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.config.serving import RolloutConfig
from persona_ray.serving.live import hub
from persona_ray.serving.rollout.service import RolloutService
from persona_ray.store import Store
from tests.unit.serving.live.lines import Listener, application, frames_of, key_of, whole_call
from tests.unit.serving.live.sounds import LoudIsSpeech, talk

FRAMES = frames_of(talk((1.2, 1.4), (0.8, 1.5), (2.0, 1.2), (0.5, 3.0)))


def test_each_call_is_one_models(
    config: RunConfig, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "VoiceActivity", LoudIsSpeech)
    champion, challenger = Listener(), Listener()
    challenger.served = replace(champion.served, version="4")
    service = RolloutService(
        champion, challenger, store.rollouts, RolloutConfig(canary_share=0.5), seed=1
    )
    key = key_of(store)
    with TestClient(application(config, service, store)) as client:
        calls = [whole_call(client, key, FRAMES, call_id=f"k{number}") for number in range(12)]
    seen = [{one.model.version for one in call.sentences} for call in calls]
    assert all(len(call.sentences) >= 3 for call in calls)
    assert all(len(versions) == 1 for versions in seen)
    assert set.union(*seen) == {"3", "4"}
