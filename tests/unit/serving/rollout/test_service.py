"""A challenger beside the champion: callers notice nothing of its faults."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.config.serving import RolloutConfig
from persona_ray.errors import RecognitionError, ServiceBusyError, StoreError
from persona_ray.serving.rollout.choice import live_call
from persona_ray.serving.rollout.service import RolloutService
from persona_ray.serving.rollout.verdict import Counts, RollBack
from persona_ray.store import Store, open_store
from tests.unit.serving.rollout.fakes import CLIP, SILENCE, SPEECH, FakeService

CHAMPION, CHALLENGER = "persona/1", "persona/2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened


def failing(_number: int) -> Exception:
    return RecognitionError("the challenger is broken")


def run(
    store: Store,
    champion: FakeService,
    challenger: FakeService,
    use: Callable[[RolloutService], Awaitable[Any]],
    timeout_s: float = 60.0,
    **config: float,
) -> Counts:
    """What was counted after `use` of a service that knows what the others decided."""

    async def body() -> Counts:
        service = RolloutService(
            champion, challenger, store.rollouts, RolloutConfig(**config), timeout_s, seed=7
        )
        await service.sync()
        await use(service)
        await service.settle()
        counts = service.ledger.counts
        await service.close()
        return counts

    return asyncio.run(body())


async def versions(service: RolloutService, requests: int) -> Counter[str]:
    """Of the models that answered, one request after the other."""
    seen: Counter[str] = Counter()
    for _ in range(requests):
        answer = await service.clips([CLIP])
        seen[answer.model.version] += 1
        assert {clip.result.primary for clip in answer.result} <= {"red"}  # type: ignore[union-attr]
        await asyncio.sleep(0)
    return seen


def test_a_shadow_is_compared_and_never_returned(store: Store) -> None:
    champion, challenger = FakeService("1"), FakeService("2", ("red", "blue"))

    async def use(service: RolloutService) -> None:
        assert await versions(service, 200) == {"1": 200}
        assert await service.text(SILENCE, 8000, SPEECH) == "text of 1"
        assert (await service.model()).version == "1"

    counts = run(store, champion, challenger, use, shadow_share=0.3, max_disagreement=0.9)
    assert counts.champion == 200
    assert 40 < challenger.asked == counts.shadows == counts.pairs == counts.coloured < 80
    assert counts.differing == challenger.asked // 2


def test_a_challenger_that_hangs_delays_nobody_and_counts_as_failing(store: Store) -> None:
    champion, challenger = FakeService("1"), FakeService("2", delay_s=60)

    async def use(service: RolloutService) -> None:
        await asyncio.wait_for(versions(service, 100), timeout=5)
        assert challenger.under_way == 3

    counts = run(store, champion, challenger, use, timeout_s=0.2, shadow_share=1.0, max_shadows=3)
    assert challenger.most_under_way == 3
    assert (counts.shadows, counts.dropped, counts.challenger_failed) == (3, 97, 3)


def test_what_the_canary_cannot_answer_the_champion_does(store: Store) -> None:
    champion = FakeService("1")
    challenger = FakeService("2", fails=lambda number: failing(0) if number % 2 else None)
    seen: list[Counter[str]] = []

    async def use(service: RolloutService) -> None:
        seen.append(await versions(service, 40))

    counts = run(store, champion, challenger, use, canary_share=1.0)
    assert seen[0] == {"1": 20, "2": 20}
    assert (counts.canary, counts.fallbacks, counts.challenger_failed) == (20, 20, 20)
    assert counts.pairs + counts.dropped == 40


def test_a_canary_that_lets_callers_wait_is_overtaken(store: Store) -> None:
    champion, challenger = FakeService("1"), FakeService("2", delay_s=0.5)

    async def use(service: RolloutService) -> None:
        began = asyncio.get_running_loop().time()
        assert await versions(service, 2) == {"1": 2}
        assert asyncio.get_running_loop().time() - began < 0.4

    counts = run(store, champion, challenger, use, canary_share=1.0, patience_s=0.02)
    assert (counts.fallbacks, counts.timed, counts.slower) == (2, 2, 2)


def test_where_both_fail_the_caller_hears_the_champion(store: Store) -> None:
    def broken(_number: int) -> Exception:
        return ServiceBusyError("the champion is full")

    async def use(service: RolloutService) -> None:
        for _ in range(3):
            with pytest.raises(ServiceBusyError, match="the champion is full"):
                await service.clips([CLIP])

    champion, challenger = FakeService("1", fails=broken), FakeService("2", fails=failing)
    counts = run(store, champion, challenger, use, canary_share=1.0)
    assert (counts.busy, counts.pairs) == (3, 0)


def test_a_bad_file_speaks_against_neither(store: Store) -> None:
    champion, challenger = FakeService("1", fails=failing), FakeService("2", fails=failing)

    async def use(service: RolloutService) -> None:
        for _ in range(100):
            with pytest.raises(RecognitionError):
                await service.clips([CLIP])
            await asyncio.sleep(0.001)

    counts = run(store, champion, challenger, use, shadow_share=1.0)
    assert counts.pairs > 50
    assert counts.challenger_failed == counts.champion_failed == 0


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


@pytest.mark.parametrize(
    ("challenger", "shares", "reason"),
    [
        (FakeService("2", fails=failing), {"canary_share": 0.5}, "errors: "),
        (FakeService("2", fails=failing), {"shadow_share": 0.5}, "errors: "),
        (FakeService("2", ("green",)), {"shadow_share": 1.0}, "colours: "),
        (FakeService("2", delay_s=0.004), {"shadow_share": 1.0, "max_shadows": 99}, "latency: "),
    ],
)
def test_a_bad_challenger_is_taken_back_for_good(
    store: Store, challenger: FakeService, shares: dict[str, float], reason: str
) -> None:
    champion = FakeService("1")
    challenger.asked = 0

    async def use(service: RolloutService) -> None:
        for _ in range(400):
            answer = await service.clips([CLIP])
            assert answer.model.version == "1"
            await asyncio.sleep(0.0005)
            if isinstance(service.ledger.verdict, RollBack):
                break
        else:
            pytest.fail(f"not taken back: {service.ledger.counts}")
        assert service.ledger.verdict.reason.startswith(reason)
        asked = challenger.asked
        await versions(service, 50)
        assert challenger.asked == asked

    run(store, champion, challenger, use, **shares)
    asked = challenger.asked

    async def after_a_restart(service: RolloutService) -> None:
        assert isinstance(service.ledger.verdict, RollBack)
        assert await versions(service, 50) == {"1": 50}

    run(store, FakeService("1"), challenger, after_a_restart, **shares)
    assert challenger.asked == asked


def test_replicas_decide_together(store: Store) -> None:
    """Neither has seen enough by itself."""

    async def body() -> None:
        challenger = FakeService("2", fails=failing)
        config = RolloutConfig(shadow_share=1.0, min_requests=50)
        replicas = [
            RolloutService(FakeService("1"), challenger, store.rollouts, config) for _ in range(2)
        ]
        for replica in replicas:
            await replica.sync()
        for replica in replicas:
            for _ in range(30):
                await replica.clips([CLIP])
                await asyncio.sleep(0.001)
            await replica.settle()
            if replica is replicas[0]:
                assert not isinstance(replica.ledger.verdict, RollBack)
        await replicas[0].sync()
        assert all(isinstance(replica.ledger.verdict, RollBack) for replica in replicas)
        for replica in replicas:
            await replica.close()

    asyncio.run(body())


def test_a_new_challenger_starts_anew_and_an_old_one_may_be_given_another_chance(
    store: Store,
) -> None:
    store.rollouts.add(CHAMPION, CHALLENGER, {"pairs": 99}, lambda _counts: "errors: bad")
    challenger = FakeService("2")

    async def use(service: RolloutService) -> None:
        assert await versions(service, 5) == {"1": 5}
        challenger.version = "3"
        await service.sync()
        assert await versions(service, 5) == {"3": 5}
        challenger.version = "2"
        await service.sync()
        assert await versions(service, 5) == {"1": 5}
        await service.restart()
        assert await versions(service, 5) == {"2": 5}

    run(store, FakeService("1"), challenger, use, canary_share=1.0)


def test_the_champion_is_no_challenger_of_itself(store: Store) -> None:
    challenger = FakeService("1")

    async def use(service: RolloutService) -> None:
        await versions(service, 20)

    run(store, FakeService("1"), challenger, use, canary_share=0.5, shadow_share=0.5)
    assert challenger.asked == 0


def test_what_was_seen_of_another_model_is_not_counted(store: Store) -> None:
    challenger = FakeService("2")

    async def use(service: RolloutService) -> None:
        await versions(service, 10)
        await asyncio.sleep(0.01)
        # Swapped, and nobody has told the service yet.
        challenger.version = "3"
        await service.clips([CLIP])
        await asyncio.sleep(0.05)
        assert service.ledger.pair is not None
        assert service.ledger.pair.challenger == "persona/3"
        assert service.ledger.counts.pairs == 0

    run(store, FakeService("1"), challenger, use, shadow_share=1.0, max_shadows=99)
    assert store.rollouts.add(CHAMPION, CHALLENGER, {}, lambda _: "").counts["pairs"] == 10


def test_without_its_store_a_replica_protects_its_own_callers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenger = FakeService("2", fails=failing)

    async def use(service: RolloutService) -> None:
        def gone(*_args: object) -> None:
            raise StoreError("store: the disk is gone")

        with monkeypatch.context() as patched:
            patched.setattr(store.rollouts, "add", gone)
            for _ in range(200):
                await service.clips([CLIP])
                await asyncio.sleep(0.001)
            assert isinstance(service.ledger.verdict, RollBack)
        await service.sync()
        assert isinstance(service.ledger.verdict, RollBack)

    counts = run(store, FakeService("1"), challenger, use, shadow_share=1.0)
    assert 50 <= counts.challenger_failed < 80
    assert store.rollouts.add(CHAMPION, CHALLENGER, {}, lambda _: "").reason.startswith("errors")


def test_a_caller_that_leaves_takes_its_request_along(store: Store) -> None:
    challenger = FakeService("2", delay_s=60)

    async def use(service: RolloutService) -> None:
        task = asyncio.create_task(service.clips([CLIP]))
        await asyncio.sleep(0.01)
        assert challenger.under_way == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert challenger.under_way == 0

    counts = run(store, FakeService("1"), challenger, use, canary_share=1.0)
    assert not counts
