"""Processes of the service are killed under load: every request is answered rightly, or told to
come again; live calls go on where they were.

Each drill prints what clients saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from persona_ray.serving.live.client import LiveClient, paced
from persona_ray.serving.live.protocol import AnyEvent, Ended, Failed, Sentence, Sound
from tests.drills.load import Asked, Load
from tests.drills.nodes import wait_for
from tests.drills.serving import Service, bundles, call_audio, call_track, service

pytestmark = pytest.mark.drill

# A replica imports torch and loads its model before it is back; the machine may be busy.
BACK_S = 60.0
# Without its setting, Serve would need 30 s to see that its proxy died.
PROXY_BACK_S = 20.0
# What a dead replica had under way is another's when its lease is over, after a minute.
JOB_S = 100.0


@dataclass(frozen=True)
class Served:
    running: Service
    asked: dict[str, list[Asked]]

    def load(self) -> Load:
        return Load([self.running.url], self.asked)

    def kill(self, role: str) -> float:
        """Seconds until the killed process has a successor."""
        dead = self.running.kill(role)

        def back() -> bool:
            there = self.running.processes(role)
            return bool(there) and dead not in {process.pid for process in there}

        return wait_for(back, BACK_S, f"no {role} came after the killed one")


def lose(served: Served, role: str) -> None:
    """kill -9 of a replica."""
    with served.load() as load:
        back_s = served.kill(role)
        load.more(16)
    load.check(f"kill -9 of {role}, another after {back_s:.1f} s")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles(tmp_path_factory.mktemp("bundles"))[0]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("serving")) as started:
        yield started


@pytest.fixture(scope="module")
def asked(running: Service, bundle: Path) -> dict[str, list[Asked]]:
    return {"": running.asked(bundle)}


@pytest.fixture(scope="module", params=["whole", "fused", "split"])
def served(
    request: pytest.FixtureRequest, running: Service, bundle: Path, asked: dict[str, list[Asked]]
) -> Served:
    """One replica of each deployment: nobody answers in its place. Batches wait so long that a kill
    falls into one."""
    running.version = request.param
    running.overrides = (f"serving.layout={request.param}", "serving.batch.wait_s=0.1")
    running.deploy(bundle)
    return Served(running, asked)


@pytest.mark.parametrize(
    ("served", "role"),
    [("whole", "whole"), ("whole", "ingress"), ("fused", "asr"), ("fused", "fused")],
    indirect=["served"],
)
def test_a_replica_is_killed(served: Served, role: str) -> None:
    lose(served, role)


@pytest.mark.parametrize("served", ["fused"], indirect=True)
def test_the_proxy_is_killed(served: Served) -> None:
    with served.load() as load:
        back_s = served.kill("proxy")
        load.more(16)
    load.check(f"kill -9 of the proxy, another after {back_s:.1f} s", [served.running.url])
    assert load.gap_s < PROXY_BACK_S


@pytest.mark.parametrize("served", ["fused"], indirect=True)
def test_the_controller_is_killed(served: Served) -> None:
    with served.load() as load:
        back_s = served.kill("controller")
        load.more(16)
    load.check(f"kill -9 of the controller, another after {back_s:.1f} s")
    assert {one.status for one in load.attempts} == {200}, "nobody asks the controller"
    # The new one looks after the replicas that it found.
    lose(served, "fused")


@pytest.mark.parametrize("served", ["fused"], indirect=True)
def test_a_job_is_finished_by_another_ingress(served: Served) -> None:
    jobs = f"{served.running.url}/v1/jobs"
    whole = served.asked[""][-1]
    files = [("files", (f"{number}.ogg", call_audio())) for number in range(6)]
    said = {"idempotency-key": "drill"}

    def begun() -> dict[str, Any]:
        answer = requests.post(jobs, files=files, data={"channel": "1"}, headers=said, timeout=60)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    job = begun()

    def counts() -> dict[str, int]:
        answer = requests.get(f"{jobs}/{job['id']}", timeout=60)
        return dict(answer.json()["calls"]) if answer.status_code == 200 else {}

    wait_for(lambda: counts().get("running", 0) > 0, BACK_S, "it was never under way")
    back_s = served.kill("ingress")
    # A client that did not get the first answer asks once more: it is the same job.
    assert begun()["id"] == job["id"]
    before = counts()
    assert before["done"] < len(files), "it was over before the kill"
    over_s = wait_for(lambda: counts().get("done") == len(files), JOB_S, f"still {counts()}")
    results = requests.get(f"{jobs}/{job['id']}/results", timeout=60).json()["calls"]
    assert [one["number"] for one in results] == list(range(len(files)))
    assert not [whole.mistake(one["answer"]) for one in results if whole.mistake(one["answer"])]
    print(f"\nkill -9 of ingress under a job: another after {back_s:.1f} s, done {over_s:.0f} s on")


@pytest.mark.parametrize(
    ("served", "hearing"), [("whole", "whole"), ("fused", "asr")], indirect=["served"]
)
def test_a_live_call_goes_on_where_it_was(served: Served, hearing: str) -> None:
    track, rate_hz = call_track()

    async def held(call_id: str, role: str | None) -> tuple[LiveClient, list[AnyEvent]]:
        client = LiveClient(served.running.url, call_id, Sound(sample_rate_hz=rate_hz))
        events: list[AnyEvent] = []
        killed = False

        def note(event: AnyEvent) -> None:
            nonlocal killed
            events.append(event)
            if role is not None and not killed and isinstance(event, Sentence):
                killed = True
                served.running.kill(role)

        await client.stream(paced(track, rate_hz, speed=2.0), note)
        assert killed == (role is not None)
        return client, events

    unbroken, plain = asyncio.run(held(f"unbroken-{hearing}", None))
    assert unbroken.connections == 1
    assert len(_settled(plain)) >= 3
    for role in ("ingress", hearing):
        client, events = asyncio.run(held(f"{hearing}-without-{role}", role))
        assert _settled(events) == _settled(plain), role
        assert client.connections >= (2 if role == "ingress" else 1)
        print(f"\nkill -9 of {role}: {client.connections} connections, the same sentences")


@pytest.mark.parametrize("role", ["speech", "text", "classifier"])
@pytest.mark.parametrize("served", ["split"], indirect=True)
def test_a_replica_of_a_model_in_parts_is_killed(served: Served, role: str) -> None:
    lose(served, role)


def _settled(events: list[AnyEvent]) -> list[dict[str, Any]]:
    """Sentences and the end, without what depends on time."""
    kept = [event for event in events if isinstance(event, Sentence | Failed | Ended)]
    return [_rounded(event.model_dump(exclude={"timings_s"})) for event in kept]


def _rounded(value: Any) -> Any:
    """Batches are padded differently: the last digits differ."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
