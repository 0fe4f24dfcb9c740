"""The screening application: what is shipped, and what verdicts and corrections change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from persona_ray.apps import here
from persona_ray.apps.screening import make_app
from persona_ray.apps.screening_consequences import StoredConsequences
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import SynthesisError, VaultError
from persona_ray.inference.screening.records import (
    CallEvent,
    CategoryJudgement,
    Known,
    NotListed,
    Outcome,
    Speaker,
    Standing,
    Turn,
    Verdict,
)
from persona_ray.inference.screening.sources import StoredSources
from persona_ray.serving.screening.consequences import CorrectedTo
from persona_ray.serving.screening.models import AskedModels, VoiceSeen
from persona_ray.store import Store, open_store
from persona_ray.store.screening.voice_records import voice_key
from persona_ray.vault.keys import VARIABLE, KeyRing, new_key, ring_of
from persona_ray.vault.seal import vault_of
from tests.unit.store.screening.test_sealed import fill

pytestmark = pytest.mark.anyio

NUMBER = "+8613800138000"
CALL = CallEvent("k1", "li", NUMBER, datetime.now(UTC))
SPEECH = np.ones(8000, dtype=np.float32)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"workspace={tmp_path}"])


@pytest.fixture
def store(config: RunConfig) -> Iterator[Store]:
    with open_store(config.store_url) as opened:
        yield opened


class Library:
    def __init__(self) -> None:
        self.seen: list[VoiceSeen] = []

    async def learn(self, samples: Any, rate_hz: int, seen: VoiceSeen) -> bool:
        assert len(samples)
        assert rate_hz == 8000
        self.seen.append(seen)
        return True


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def consequences(store: Store, config: RunConfig, library: Library) -> StoredConsequences:
    return StoredConsequences(store, config.screening, library)


def verdict(outcome: Outcome, standing: Standing, category: str, sure: float = 0.97) -> Verdict:
    return Verdict(
        call=CALL,
        outcome=outcome,
        standing=standing,
        category=category,
        reasons=(),
        turns=(Turn(Speaker.CALLER, "喂", 0.0, 1.0),),
        voice=None,
        judgement=CategoryJudgement({category: sure, "other": 1 - sure}, 1, "m 1"),
        evidence={},
        models={},
        decided_s=1.0,
        duration_s=2.0,
    )


async def known(store: Store, config: RunConfig) -> Known | NotListed:
    return await StoredSources(store, config.screening).look_up(CALL)


FRAUD = verdict(Outcome.HUNG_UP, Standing.ILLEGAL, "account_fraud")


async def test_an_illegal_caller_is_marked_for_the_user_and_his_voice_learnt(
    store: Store, config: RunConfig, consequences: StoredConsequences, library: Library
) -> None:
    await consequences.of_verdict(FRAUD, SPEECH, 8000)
    found = await known(store, config)
    assert isinstance(found, Known)
    assert (found.standing, found.owner, found.origin) == ("illegal", "li", "call")
    assert found.expires_at is not None
    elsewhere = replace(CALL, user_id="wang")
    others = StoredSources(store, config.screening)
    assert await others.look_up(elsewhere) == NotListed()
    (seen,) = library.seen
    assert (seen.standing, seen.category) == ("illegal", "account_fraud")
    # The libraries know the call by no name of a person.
    assert seen.key == voice_key("li", "k1")
    assert "li" not in seen.key.split("-")


async def test_only_who_is_surely_abnormal_is_learnt(
    store: Store, config: RunConfig, consequences: StoredConsequences, library: Library
) -> None:
    for outcome, standing, category, sure in (
        (Outcome.SCREENED, Standing.ABNORMAL, "loans", 0.6),
        (Outcome.PASSED, Standing.NORMAL, "delivery", 0.99),
        (Outcome.CALLER_LEFT, Standing.ILLEGAL, "prize_fraud", 0.99),
    ):
        await consequences.of_verdict(verdict(outcome, standing, category, sure), SPEECH, 8000)
    silent = verdict(Outcome.SCREENED, Standing.ABNORMAL, "loans")
    await consequences.of_verdict(silent, SPEECH[:0], 8000)
    assert library.seen == []
    assert await known(store, config) == NotListed()
    await consequences.of_verdict(silent, SPEECH, 8000)
    assert [one.category for one in library.seen] == ["loans"]


async def test_a_correction_moves_the_users_own_set(
    store: Store, config: RunConfig, consequences: StoredConsequences
) -> None:
    await consequences.of_verdict(FRAUD, SPEECH, 8000)
    made = CorrectedTo(CALL, "delivery", Standing.NORMAL, "li")
    await consequences.of_correction(made)
    found = await known(store, config)
    assert isinstance(found, Known)
    assert (found.standing, found.category) == ("normal", "delivery")
    # Twice is once; and what he wants of the number may differ from its category.
    await consequences.of_correction(made)
    await consequences.of_correction(replace(made, standing=Standing.ABNORMAL))
    found = await known(store, config)
    assert isinstance(found, Known)
    assert found.standing == "abnormal"
    hidden = replace(made, call=replace(CALL, number=""))
    await consequences.of_correction(hidden)


class NoModels(AskedModels):
    """Deployments that nobody asks."""

    def __init__(self) -> None:
        super().__init__({})


def test_the_application_has_all_routes_and_says_which_model_answers(
    config: RunConfig, store: Store
) -> None:
    app = make_app(config, NoModels(), {"categories": "category 7", "ears": "whisper base"})
    user = store.keys.create("li", ["screen", "screening", "device"]).token
    headers = {"authorization": f"Bearer {user}"}
    with TestClient(app) as client:
        assert client.get("/health/ready").json()["model"] == {"name": "category", "version": "7"}
        paths = client.get("/openapi.json").json()["paths"]
        for path in ("/v1/screening/events", "/v1/screening/sets/{kind}", "/metrics"):
            assert path in paths
        # A path that is a WebSocket, too.
        assert client.get("/v1/screening/calls", headers=headers).json()["calls"] == []
        told = client.get("/v1/screening/notices", headers=headers)
        assert told.status_code == 426
        # What needs no model is decided without one.
        put = StoredSources(store, config.screening).put
        put("li", NUMBER, Standing.NORMAL, name="妈妈")
        event = {"call_id": "k1", "number": "138 0013 8000"}
        answered = client.post("/v1/screening/events", json=event, headers=headers).json()
        assert (answered["action"], answered["name"]) == ("pass", "妈妈")
        assert client.get("/v1/screening/calls/k1", headers=headers).json()["outcome"] == "passed"


def test_without_the_keys_of_its_voices_it_does_not_start(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A voice that cannot be opened is not one that is not there."""
    monkeypatch.delenv(VARIABLE, raising=False)
    ring = ring_of(config)
    with open_store(config.store_url, vault=vault_of(config, ring)) as store:
        fill(store)
    names = {"categories": "category 7"}
    make_app(config, NoModels(), names)
    lost = ring.primary().key_id
    ring.path.unlink()
    with pytest.raises(VaultError, match=f"key {lost} is not in the key ring"):
        make_app(config, NoModels(), names)


def test_a_ring_that_lacks_a_key_is_told_before_anything_is_started(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(here, "choose_category", lambda _: None)
    monkeypatch.setattr(here, "_check_port", lambda _: None)
    with open_store(config.store_url, vault=vault_of(config)) as store:
        fill(store)
    lost = ring_of(config).primary().key_id
    KeyRing(tmp_path / "other", makes=False).add(new_key())
    overrides = [f"workspace={tmp_path}", "screening.dialogue.enabled=false"]
    config = load_config(None, [*overrides, f"privacy.vault.keys={tmp_path / 'other'}"])
    with pytest.raises(VaultError, match=f"key {lost} is not in .*looked for at"):
        here.serve_here(config, print, app=here.App.SCREENING)


def test_a_robot_that_cannot_speak_is_told_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "choose_category", lambda _: None)
    monkeypatch.setattr(here, "_check_port", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    config = load_config(None, [f"workspace={tmp_path}"])
    with pytest.raises(SynthesisError, match="espeak-ng"):
        here.serve_here(config, print, app=here.App.SCREENING)
