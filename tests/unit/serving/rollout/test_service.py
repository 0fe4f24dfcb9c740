"""A challenger beside the champion: callers notice nothing of its faults."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from persona_ray.config.serving import RolloutConfig
from persona_ray.errors import RecognitionError, ServiceBusyError, StoreError
from persona_ray.serving.rollout.service import RolloutService
from persona_ray.serving.rollout.verdict import RollBack
from persona_ray.store import Store
from tests.unit.serving.rollout.fakes import CLIP, SILENCE, SPEECH, FakeService, failing, run

CHAMPION, CHALLENGER = "persona/1", "persona/2"


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
