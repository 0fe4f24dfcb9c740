"""Jobs, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from persona_ray.store import Store, open_store
from persona_ray.store.jobs import MOST_ATTEMPTS, CallState, JobCall

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
LEASE_S = 60.0


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def calls(count: int) -> list[JobCall]:
    return [JobCall(f"K{number}", f"s3://calls/K{number}.wav", 1) for number in range(count)]


def test_calls_are_worked_off_in_order_until_the_job_has_ended(store: Store) -> None:
    job = store.jobs.create("j1", "desk", calls(2), NOW)
    assert (job.counts, job.ended_at) == ({CallState.WAITING: 2}, None)
    first = store.jobs.claim(NOW, LEASE_S)
    second = store.jobs.claim(NOW, LEASE_S)
    assert first is not None
    assert second is not None
    assert [first.number, second.number] == [0, 1]
    assert first.call == calls(2)[0]
    assert store.jobs.claim(NOW, LEASE_S) is None
    assert store.jobs.finish(first, later(1), answer={"together": {"primary": "红"}})
    found = store.jobs.get("j1")
    assert found is not None
    assert found.counts == {CallState.DONE: 1, CallState.RUNNING: 1}
    assert found.ended_at is None
    assert store.jobs.finish(second, later(2), error={"code": "audio.empty"})
    found = store.jobs.get("j1")
    assert found is not None
    assert (found.ended_at, found.cancelled) == (later(2), False)
    one, two = store.jobs.outcomes("j1")
    assert (one.state, one.answer, one.error) == ("done", {"together": {"primary": "红"}}, None)
    assert (two.state, two.answer, two.error) == ("failed", None, {"code": "audio.empty"})
    assert [one.number for one in store.jobs.outcomes("j1", after=0, limit=5)] == [1]


def test_the_same_request_is_one_job(store: Store) -> None:
    first = store.jobs.create("j1", "desk", calls(1), NOW, "print", "again")
    again = store.jobs.create("j2", "desk", calls(1), NOW, "print", "again")
    other = store.jobs.create("j3", "desk", calls(2), NOW, "other print", "again")
    assert first == again == other
    # Another owner's keys are its own, and without a key each request is a job.
    assert store.jobs.create("j4", "other", calls(1), NOW, "print", "again").job_id == "j4"
    assert store.jobs.create("j5", "desk", calls(1), NOW).job_id == "j5"
    assert store.jobs.create("j6", "desk", calls(1), NOW).job_id == "j6"
    assert store.jobs.known() == {"j1", "j4", "j5", "j6"}


def test_a_worker_that_is_gone_loses_its_call_to_the_next(store: Store) -> None:
    store.jobs.create("j1", "desk", calls(1), NOW)
    lost = store.jobs.claim(NOW, LEASE_S)
    assert lost is not None
    assert store.jobs.claim(later(59), LEASE_S) is None
    # One that lives keeps its lease.
    store.jobs.keep([lost.lease], later(100))
    assert store.jobs.claim(later(99), LEASE_S) is None
    taken = store.jobs.claim(later(101), LEASE_S)
    assert taken is not None
    assert (taken.number, taken.attempts) == (0, 2)
    # The first comes back from the dead: its answer is not taken.
    assert not store.jobs.finish(lost, later(102), answer={"late": True})
    assert store.jobs.finish(taken, later(103), answer={"late": False})
    assert store.jobs.outcomes("j1")[0].answer == {"late": False}


def test_a_call_that_kills_its_workers_fails_in_the_end(store: Store) -> None:
    store.jobs.create("j1", "desk", calls(2), NOW)
    for attempt in range(MOST_ATTEMPTS):
        claim = store.jobs.claim(later(100 * attempt), LEASE_S)
        assert claim is not None
        assert claim.number == 0
    after = store.jobs.claim(later(1000), LEASE_S)
    assert after is not None
    assert after.number == 1
    poison = store.jobs.outcomes("j1")[0]
    assert poison.state == "failed"
    assert poison.error is not None
    assert poison.error["code"] == "job.interrupted"


def test_a_call_given_back_waits_and_counts_only_if_told(store: Store) -> None:
    store.jobs.create("j1", "desk", calls(1), NOW)
    for _ in range(MOST_ATTEMPTS + 1):
        claim = store.jobs.claim(later(10), LEASE_S)
        assert claim is not None
        assert claim.attempts == 1
        store.jobs.give_back(claim, later(10), counts=False)
    claim = store.jobs.claim(later(10), LEASE_S)
    assert claim is not None
    store.jobs.give_back(claim, later(20), counts=True)
    assert store.jobs.claim(later(19), LEASE_S) is None
    again = store.jobs.claim(later(20), LEASE_S)
    assert again is not None
    assert again.attempts == 2


def test_a_cancelled_job_keeps_what_is_done(store: Store) -> None:
    store.jobs.create("j1", "desk", calls(3), NOW)
    done, running = store.jobs.claim(NOW, LEASE_S), store.jobs.claim(NOW, LEASE_S)
    assert done is not None
    assert running is not None
    store.jobs.finish(done, NOW, answer={})
    store.jobs.cancel("j1", later(5))
    assert not store.jobs.finish(running, later(6), answer={})
    job = store.jobs.get("j1")
    assert job is not None
    assert (job.cancelled, job.ended_at) == (True, later(5))
    assert job.counts == {CallState.DONE: 1, CallState.CANCELLED: 2}
    assert store.jobs.claim(later(1000), LEASE_S) is None
    # A job that has ended is not cancelled afterwards.
    store.jobs.create("j2", "desk", calls(1), NOW)
    claim = store.jobs.claim(NOW, LEASE_S)
    assert claim is not None
    store.jobs.finish(claim, NOW, answer={})
    store.jobs.cancel("j2", later(9))
    job = store.jobs.get("j2")
    assert job is not None
    assert (job.cancelled, job.ended_at) == (False, NOW)


def test_old_jobs_and_forgotten_calls_are_gone(store: Store) -> None:
    for job_id, ended in (("old", NOW), ("new", later(100))):
        store.jobs.create(job_id, "desk", calls(1), NOW)
        claim = store.jobs.claim(NOW, LEASE_S)
        assert claim is not None
        store.jobs.finish(claim, ended, answer={"text": "private"})
    store.jobs.create("open", "desk", [*calls(2), JobCall("other", "x", 0)], NOW)
    assert store.jobs.expire(later(50)) == ["old"]
    assert store.jobs.known() == {"new", "open"}
    assert store.jobs.outcomes("old") == []
    assert store.forget_customer("somebody", call_ids=["K0", "K1"]).job_calls == 3
    assert [one.name for one in store.jobs.outcomes("open")] == ["other"]
    store.forget_customer("somebody else", call_ids=["other"])
    emptied = store.jobs.get("open")
    assert emptied is not None
    assert emptied.ended_at is not None
    store.jobs.delete("open")
    assert store.jobs.get("open") is None


def test_no_call_is_claimed_twice(store_url: str) -> None:
    with open_store(store_url) as store:
        store.jobs.create("j1", "desk", calls(40), NOW)

    def work(_: int) -> list[int]:
        found = []
        with open_store(store_url) as store:
            while (claim := store.jobs.claim(NOW, LEASE_S)) is not None:
                found.append(claim.number)
        return found

    with ThreadPoolExecutor(4) as pool:
        claimed = [number for numbers in pool.map(work, range(4)) for number in numbers]
    assert sorted(claimed) == list(range(40))
