"""A live call is one model's from its first sentence to its last."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.serving.rollout.choice import live_call
from persona_ray.serving.rollout.service import RolloutService
from persona_ray.store import Store, open_store
from tests.unit.serving.rollout.fakes import CLIP, SILENCE, SPEECH, FakeService, failing, run


@settings(max_examples=20)
@given(share=st.floats(0, 1), calls=st.lists(st.uuids().map(str), min_size=1, max_size=8))
def test_a_live_call_stays_with_one_model(share: float, calls: list[str]) -> None:
    seen: dict[str, set[str]] = {call: set() for call in calls}

    async def use(service: RolloutService) -> None:
        for _ in range(6):
            for call in calls:
                with live_call(call):
                    answer = await service.utterance(SILENCE, 8000, SPEECH)
                seen[call].add(answer.model.version)

    with open_store("sqlite://") as store:
        run(store, FakeService("1"), FakeService("2"), use, canary_share=share)
        first = {call: set(found) for call, found in seen.items()}
        assert all(len(found) == 1 for found in first.values())
        # Another replica, on which a call goes on that broke off.
        run(store, FakeService("1"), FakeService("2"), use, canary_share=share)
    assert seen == first


def test_a_live_call_that_fell_back_stays_with_the_champion_and_counts_once(store: Store) -> None:
    champion = FakeService("1")
    challenger = FakeService("2", fails=lambda number: failing(0) if number == 2 else None)

    async def use(service: RolloutService) -> None:
        seen = []
        with live_call("K1"):
            for _ in range(6):
                seen.append((await service.utterance(SILENCE, 8000, SPEECH)).model.version)
                await asyncio.sleep(0.01)
        assert seen == ["2", "2", "1", "1", "1", "1"]

    counts = run(store, champion, challenger, use, canary_share=1.0)
    assert (counts.pairs, counts.coloured, counts.timed, counts.challenger_failed) == (3, 1, 1, 1)


def test_a_live_call_that_began_before_the_challenger_stays_with_the_champion(store: Store) -> None:
    champion, challenger = FakeService("1"), FakeService("1")

    async def use(service: RolloutService) -> None:
        with live_call("K1"):
            assert (await service.utterance(SILENCE, 8000, SPEECH)).model.version == "1"
            challenger.version = "2"
            await service.sync()
            assert (await service.utterance(SILENCE, 8000, SPEECH)).model.version == "1"
        assert (await service.clips([CLIP])).model.version == "2"

    run(store, champion, challenger, use, canary_share=1.0)
