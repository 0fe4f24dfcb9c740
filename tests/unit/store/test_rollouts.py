"""What replicas see of a challenger comes together, and a decision stands."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from persona_ray.store import RolloutRecord, Store, open_store

CHAMPION, CHALLENGER = "persona/1", "persona/2"


def never(_counts: Mapping[str, float]) -> str:
    return ""


def beyond_ten(counts: Mapping[str, float]) -> str:
    return f"{counts['pairs']:g} pairs" if counts["pairs"] > 10 else ""


def test_replicas_add_to_one_count_and_one_of_them_decides(store: Store, store_url: str) -> None:
    def replica(_number: int) -> list[RolloutRecord]:
        with open_store(store_url) as own:
            return [
                own.rollouts.add(CHAMPION, CHALLENGER, {"pairs": 1.0}, beyond_ten) for _ in range(5)
            ]

    with ThreadPoolExecutor(4) as replicas:
        records = [record for seen in replicas.map(replica, range(4)) for record in seen]
    assert sorted(record.counts["pairs"] for record in records) == list(range(1, 21))
    assert {r.reason for r in records if r.counts["pairs"] > 10} == {"11 pairs"}
    assert {r.reason for r in records if r.counts["pairs"] <= 10} == {""}
    last = store.rollouts.add(CHAMPION, CHALLENGER, {"differing": 0.25}, beyond_ten)
    assert last.counts == {"pairs": 20, "differing": 0.25}
    assert last.decided_at is not None
    assert last.decided_at >= last.started_at


def test_a_decision_outlives_the_store_and_the_champion(store_url: str) -> None:
    with open_store(store_url) as store:
        store.rollouts.add(CHAMPION, CHALLENGER, {"pairs": 11}, beyond_ten)
    with open_store(store_url) as store:
        beside_another = store.rollouts.add("persona/3", CHALLENGER, {}, never)
        assert (beside_another.reason, dict(beside_another.counts)) == ("11 pairs", {})
        assert store.rollouts.add(CHAMPION, "persona/4", {}, never).reason == ""


def test_a_restart_forgets_one_challenger(store: Store) -> None:
    store.rollouts.add(CHAMPION, CHALLENGER, {"pairs": 11}, beyond_ten)
    store.rollouts.add("persona/3", CHALLENGER, {}, never)
    store.rollouts.add(CHAMPION, "persona/4", {"pairs": 12}, beyond_ten)
    assert store.rollouts.restart(CHALLENGER) == 2
    again = store.rollouts.add(CHAMPION, CHALLENGER, {}, never)
    assert (dict(again.counts), again.reason, again.decided_at) == ({}, "", None)
    assert store.rollouts.add(CHAMPION, "persona/4", {}, never).reason == "12 pairs"
