"""What is done to a service while clients ask it: updates, swaps, poison, too much, a full disk."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.drills.load import Load, not_retryable
from tests.drills.poison import storm
from tests.drills.serving import Service, bundles, service

pytestmark = pytest.mark.drill

ROLES = ("ingress", "whole")
# A refusal costs nothing. Half of them are quicker, whatever else the machine is busy with.
AT_ONCE_S = 1.0
REQUEST_TIMEOUT_S = 15.0


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, both: tuple[Path, Path]) -> Iterator[Service]:
    with service(
        tmp_path_factory.mktemp("serving"),
        f"serving.limits.request_timeout_s={REQUEST_TIMEOUT_S}",
        "serving.limits.max_upload_mb=2",
    ) as started:
        started.deploy(both[0])
        yield started


def pids(running: Service) -> dict[str, set[int]]:
    return {role: {process.pid for process in running.processes(role)} for role in ROLES}


def test_poison_beside_good_requests(running: Service, both: tuple[Path, Path]) -> None:
    with Load([running.url], {"": running.asked(both[0])}, clients=2) as load:
        answers = storm(running.url, REQUEST_TIMEOUT_S)
        load.more(8)
    load.check("a storm of poisoned requests")
    assert {one.status for one in load.attempts} == {200}
    wrong = [answer for answer in answers if answer.wrong]
    assert not wrong, f"{len(wrong)} of {len(answers)}: {wrong[:3]}"
    kinds = {answer.status for answer in answers}
    print(f"{len(answers)} poisoned ones, answered with {sorted(kinds)}")
    assert {0, 200, 400, 403, 404, 405, 408, 413, 415, 422} >= kinds >= {404, 408, 413, 415, 422}


def test_the_disk_is_full_for_logs(running: Service, both: tuple[Path, Path]) -> None:
    """No process of the service can write to any file."""
    victims = [p for role in (*ROLES, "proxy") for p in running.processes(role)]
    unlimited = resource.RLIM_INFINITY
    asked = {"": running.asked(both[0])}

    def logged() -> int:
        time.sleep(1)
        logs = running.nodes.folder.glob("session_2*/logs/serve/*.log")
        replicas = [path for path in logs if not path.name.startswith("controller")]
        assert len(replicas) >= len(victims)
        return sum(path.stat().st_size for path in replicas)

    before = logged()
    with Load([running.url], asked) as load:
        load.more(8)
    load.check("logs are written")
    written = logged()
    assert written > before, "there is nothing to lose"
    try:
        for process in victims:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, unlimited))
        with Load([running.url], asked) as load:
            load.more(40)
        assert logged() == written, "the disk was not full"
        # What would lie on disk while it comes in.
        large = {"file": ("a.wav", bytes(1_500_000))}
        answer = requests.post(
            f"{running.url}/v1/recognitions/calls", files=large, data={"channel": "0"}, timeout=60
        )
        assert not_retryable(answer) == ""
        assert answer.json()["error"]["code"] == "service.disk"
    finally:
        for process in victims:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
    load.check("the disk is full for logs")
    assert {one.status for one in load.attempts} == {200}
    assert {p.pid for p in victims} == {
        p.pid for r in (*ROLES, "proxy") for p in running.processes(r)
    }


def test_a_model_is_swapped(running: Service, both: tuple[Path, Path]) -> None:
    asked = {running.served(bundle): running.asked(bundle) for bundle in both}
    old, new = asked
    there = pids(running)
    with Load([running.url], asked) as load:
        running.deploy(both[1])
        load.until(lambda one: one.version == new)
        load.more(16)
    load.check("a model is swapped through user_config")
    assert {one.status for one in load.attempts} == {200}
    assert load.answers[0].version == old
    assert {one.version for one in load.answers[-8:]} == {new}
    assert pids(running) == there, "a replica was started anew"


def test_a_rolling_update(running: Service, both: tuple[Path, Path]) -> None:
    """Another version of the code, as Serve sees it: every replica is replaced."""
    bundle, there = both[1], pids(running)
    running.version = "2"
    running.overrides += ("serving.batch.wait_s=0.02",)
    with Load([running.url], {"": running.asked(bundle)}) as load:
        running.deploy(bundle)
        load.more(16)
    load.check("a rolling update")
    assert {one.status for one in load.attempts} == {200}
    now = pids(running)
    assert not any(now[role] & there[role] for role in ROLES), "a replica stayed"


def test_a_full_queue(running: Service, both: tuple[Path, Path]) -> None:
    running.version = "3"
    running.overrides += (
        "serving.limits.max_queued=2",
        "serving.speech.ongoing_requests=1",
        "serving.limits.request_timeout_s=300",
    )
    running.deploy(both[1])
    asked = {"": running.asked(both[1])}
    with Load([running.url], asked, clients=16) as load:
        load.more(60)
    load.check("a full queue")
    refused = [one for one in load.attempts if one.status == 503]
    assert refused, "the queue was never full"
    assert {one.code for one in refused} == {"service.busy"}
    refused_s, answered_s = (
        statistics.median(one.seconds for one in some) for some in (refused, load.answers)
    )
    print(f"refused after {refused_s:.2f} s, answered after {answered_s:.2f} s (medians)")
    assert refused_s < min(answered_s, AT_ONCE_S)
    with Load([running.url], asked, clients=1) as load:
        load.more(16)
    load.check("after it")
    assert {one.status for one in load.attempts} == {200}
