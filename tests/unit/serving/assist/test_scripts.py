"""Which scripts and which colour a call begins with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import RunConfig
from persona_ray.config.assist import AssistConfig
from persona_ray.conversation import ScriptLibrary
from persona_ray.inference.assist.library import load_library, to_dict, write_library
from persona_ray.serving.assist import scripts as in_use
from persona_ray.serving.assist.scripts import Scripts
from persona_ray.store import Store
from persona_ray.store.assist.records import StoredLibrary
from persona_ray.store.recognitions import ArchivedCustomer, RecognitionModel
from persona_ray.types import NothingUsable, Recognition
from tests.unit.serving.assist.parts import Fakes, scripts, whole_call
from tests.unit.serving.assist.test_bad_calls import ALONE

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def keep(store: Store, library: ScriptLibrary) -> None:
    store.script_libraries.put(
        StoredLibrary(
            name=library.name,
            version=library.version,
            digest=library.digest,
            content=to_dict(library),
            made_at=NOW,
            made_by="owner",
            current=True,
        )
    )


async def test_the_shipped_scripts_then_those_of_the_store_then_newer_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_use, "_LOOK_EVERY_S", 0.0)
    used = Scripts(AssistConfig(), store.script_libraries)
    shipped = load_library("", AssistConfig().steps)
    assert (await used.current()).digest == shipped.digest
    first = scripts("a")
    keep(store, first)
    assert await used.current() == first
    second = ScriptLibrary("test", "2", scripts("a", "b").scripts, scripts("a", "b").digest)
    keep(store, second)
    assert await used.current() == second
    # A call that began before goes on with what it began with.
    assert await used.begun_with("test", "1") == first
    assert await used.begun_with("gone", "1") == second


async def test_a_named_file_is_what_counts(store: Store, tmp_path: Path) -> None:
    write_library(scripts("mine"), tmp_path / "test-1.yaml")
    keep(store, scripts("a"))
    config = AssistConfig(library=str(tmp_path / "test-1.yaml"))
    assert list((await Scripts(config, store.script_libraries).current()).scripts) == ["mine"]


def test_the_colour_is_the_clients_or_the_last_that_was_recognised(
    client: TestClient, key: dict[str, str], fake: Fakes, assist: RunConfig, store: Store
) -> None:
    red, blue = dict.fromkeys(assist.annotation.labels, 0.1), {"blue": 0.9, "red": 0.1}
    red["red"] = 0.7
    found: list[tuple[str, Any, int]] = [
        ("old", Recognition(blue, 1), 0),
        ("new", Recognition(red, 3), 2),
        ("other", Recognition({"warm": 0.9, "cold": 0.1}, 3), 3),
        ("none", NothingUsable("silence"), 4),
    ]
    for name, result, days in found:
        customer = ArchivedCustomer(
            customer_id="c1",
            result=result,
            calls=1,
            calls_used=1,
            recognised_at=NOW + timedelta(days=days),
        )
        store.recognitions.save_customers(RecognitionModel(name), [customer])
    whole_call(client, key, ALONE, customer_id="c1")
    whole_call(client, key, ALONE, call_id="k2", customer_id="c1", colour={"green": 0.8})
    whole_call(client, key, ALONE, call_id="k3", customer_id="c2")
    assert [dict(one.colour) for one in fake.advisor.told] == [red, {"green": 0.8}, {}]
