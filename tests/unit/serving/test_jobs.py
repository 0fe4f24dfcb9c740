"""/v1/jobs: a batch of calls from its request to its results, over restarts and cancellation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from persona_ray.config import load_config
from persona_ray.errors import ServiceBusyError, ServiceLostError, StorageAwayError
from persona_ray.serving import jobs as runner_module
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.routes.jobs import jobs
from persona_ray.store import Store
from persona_ray.vault.seal import sealed_by
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.sounds import encoded, good

WAIT_S = 20.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_S", "BUSY_S", "LOST_S", "AWAY_S"):
        monkeypatch.setattr(runner_module, name, 0.01)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.wav").write_bytes(good(channels=2))
    (folder / "silent.wav").write_bytes(encoded(np.zeros((8_000, 2), np.float32)))
    (folder / "bad.wav").write_bytes(b"no audio")
    return folder


def application(
    store: Store, service: FakeService, tmp_path: Path, recordings: Path, *overrides: str
) -> FastAPI:
    roots = f"serving.limits.uri_roots=[{recordings}]"
    config = load_config(None, [f"workspace={tmp_path}", roots, *overrides])
    return build_app(Services(config, service, store), [jobs])


@pytest.fixture
def app(store: Store, service: FakeService, tmp_path: Path, recordings: Path) -> FastAPI:
    return application(store, service, tmp_path, recordings)


@pytest.fixture
def desk(store: Store) -> dict[str, str]:
    return {"authorization": f"Bearer {store.keys.create('desk', ['jobs']).token}"}


def calls(folder: Path, *names: str) -> dict[str, Any]:
    return {
        "calls": [{"name": name, "uri": f"{folder}/{name}.wav", "channel": 1} for name in names]
    }


def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(client: TestClient, job_id: str) -> Any:
    until(lambda: client.get(f"/v1/jobs/{job_id}").json()["ended_at"] is not None)
    return client.get(f"/v1/jobs/{job_id}").json()


def test_a_batch_is_recognised_call_by_call(
    app: FastAPI, desk: dict[str, str], recordings: Path
) -> None:
    with TestClient(app, headers=desk) as client:
        begun = client.post("/v1/jobs", json=calls(recordings, "0", "bad", "silent", "absent"))
        assert begun.status_code == 202, begun.text
        job_id = begun.json()["id"]
        assert begun.headers["location"] == f"/v1/jobs/{job_id}"
        assert begun.json()["calls"]["total"] == 4
        status = ended(client, job_id)
        assert status["state"] == "done"
        assert (status["calls"]["done"], status["calls"]["failed"]) == (2, 2)
        page = client.get(f"/v1/jobs/{job_id}/results", params={"limit": 3}).json()
        rest = client.get(f"/v1/jobs/{job_id}/results", params={"after": page["next"]}).json()
    first, bad, silent = page["calls"]
    (absent,) = rest["calls"]
    assert rest["next"] is None
    assert (first["name"], first["state"], first["error"]) == ("0", "done", None)
    assert first["answer"]["together"]["primary"] == "red"
    assert first["answer"]["sentences"][0]["text"] == "听到的话"
    assert (bad["answer"], bad["error"]["code"]) == (None, "audio.not_audio")
    assert silent["answer"]["together"]["reason"] == "silence"
    assert absent["error"]["code"] == "audio.unreadable"
    assert absent["error"]["trace_id"] == f"{job_id}-3"


def test_a_job_has_the_times_of_the_database(
    app: FastAPI,
    store: Store,
    desk: dict[str, str],
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By which it is worked off and deleted, whatever this machine's clock says."""
    now = store.now() - timedelta(hours=2)
    monkeypatch.setattr(Store, "now", lambda _: now)
    client = TestClient(app, headers=desk)
    begun = client.post("/v1/jobs", json=calls(recordings, "0")).json()
    ended = client.delete(f"/v1/jobs/{begun['id']}").json()
    for told in (begun["created_at"], ended["ended_at"]):
        assert datetime.fromisoformat(told) == now


def test_uploads_are_kept_until_they_are_done(
    app: FastAPI, desk: dict[str, str], tmp_path: Path, service: FakeService
) -> None:
    gate = asyncio.Event()
    service.before = gate.wait
    uploads = [("files", (f"{number}.wav", good(channels=2))) for number in range(3)]
    with TestClient(app, headers=desk) as client:
        begun = client.post("/v1/jobs", files=uploads, data={"channel": "1"}).json()
        kept = sorted((tmp_path / "jobs" / begun["id"]).iterdir())
        held = [path.name for path in kept]
        assert all(sealed_by(path.read_bytes()) for path in kept)
        assert held == ["0", "1", "2"]
        assert client.portal is not None
        client.portal.call(gate.set)
        assert ended(client, begun["id"])["calls"]["done"] == 3
        until(lambda: list((tmp_path / "jobs").rglob("[0-9]")) == [])


def test_a_restarted_service_goes_on_with_its_jobs(
    store: Store, desk: dict[str, str], tmp_path: Path, recordings: Path
) -> None:
    stuck = FakeService()
    stuck.before = lambda: asyncio.sleep(3600)
    first = application(store, stuck, tmp_path, recordings)
    with TestClient(first, headers=desk) as client:
        job_id = client.post("/v1/jobs", json=calls(recordings, "0", "1", "2")).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{job_id}").json()["calls"]["running"] == 2)
        assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "running"
    # What was begun was given back: nobody waits for a lease.
    with TestClient(application(store, FakeService(), tmp_path, recordings), headers=desk) as again:
        status = ended(again, job_id)
    assert (status["state"], status["calls"]["done"]) == ("done", 3)


def test_a_busy_service_is_asked_again_and_a_lost_call_three_times(
    app: FastAPI, desk: dict[str, str], recordings: Path, service: FakeService
) -> None:
    asked = 0

    def busy_at_first() -> None:
        nonlocal asked
        asked += 1
        if asked <= 5:
            raise ServiceBusyError("full")

    with TestClient(app, headers=desk) as client:
        service.before = busy_at_first
        begun = client.post("/v1/jobs", json=calls(recordings, "0")).json()
        assert ended(client, begun["id"])["calls"]["done"] == 1
        assert asked == 6

        def lost() -> None:
            nonlocal asked
            asked += 1
            raise ServiceLostError("gone")

        service.before = lost
        begun = client.post("/v1/jobs", json=calls(recordings, "0")).json()
        assert ended(client, begun["id"])["calls"]["failed"] == 1
        assert asked == 9
        found = client.get(f"/v1/jobs/{begun['id']}/results").json()["calls"][0]
        assert found["error"]["code"] == "job.interrupted"


def test_a_recording_whose_storage_is_away_is_asked_for_again(
    app: FastAPI, desk: dict[str, str], recordings: Path, service: FakeService
) -> None:
    asked = 0

    def away_for(times: int, transient: bool = True) -> Callable[[], None]:
        def away() -> None:
            nonlocal asked
            asked += 1
            if asked <= times:
                raise StorageAwayError("s3://calls/0.wav cannot be opened", transient)

        return away

    with TestClient(app, headers=desk) as client:
        for times, transient, done, in_all in ((2, True, 1, 3), (9, True, 0, 3), (9, False, 0, 1)):
            asked, service.before = 0, away_for(times, transient)
            begun = client.post("/v1/jobs", json=calls(recordings, "0")).json()
            assert (ended(client, begun["id"])["calls"]["done"], asked) == (done, in_all)
        found = client.get(f"/v1/jobs/{begun['id']}/results").json()["calls"][0]
        assert found["error"]["code"] == "audio.storage"


def test_a_cancelled_job_stops_and_can_be_deleted(
    app: FastAPI, desk: dict[str, str], service: FakeService, tmp_path: Path
) -> None:
    service.before = lambda: asyncio.sleep(3600)
    uploads = [("files", ("a.wav", good(channels=2)))] * 4
    with TestClient(app, headers=desk) as client:
        job_id = client.post("/v1/jobs", files=uploads, data={"channel": "0"}).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{job_id}").json()["calls"]["running"] == 2)
        answer = client.delete(f"/v1/jobs/{job_id}").json()
        assert (answer["state"], answer["calls"]["cancelled"]) == ("cancelled", 4)
        assert not (tmp_path / "jobs" / job_id).exists()
        assert client.get(f"/v1/jobs/{job_id}/results").status_code == 200
        assert client.delete(f"/v1/jobs/{job_id}", params={"forget": True}).status_code == 200
        assert client.get(f"/v1/jobs/{job_id}").json()["error"]["code"] == "job.unknown"


def test_a_request_sent_twice_is_one_job(
    app: FastAPI, desk: dict[str, str], recordings: Path, tmp_path: Path
) -> None:
    client = TestClient(app, headers={**desk, "idempotency-key": "order-17"})
    first, again = (client.post("/v1/jobs", json=calls(recordings, "0")) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    other = client.post("/v1/jobs", json=calls(recordings, "1"))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "job.idempotency")
    # The uploads of a request that begins no job are gone.
    headers = {"idempotency-key": "order-18"}
    for _ in range(2):
        upload = {"files": ("a.wav", good(channels=2))}
        client.post("/v1/jobs", files=upload, data={"channel": "0"}, headers=headers)
    assert len(list((tmp_path / "jobs").iterdir())) == 1


def test_jobs_are_their_owners(
    app: FastAPI, desk: dict[str, str], store: Store, recordings: Path
) -> None:
    client = TestClient(app)
    job_id = client.post("/v1/jobs", json=calls(recordings, "0"), headers=desk).json()["id"]
    for name, scope, status in (("other", "jobs", 404), ("chief", "admin", 200)):
        headers = {"authorization": f"Bearer {store.keys.create(name, [scope]).token}"}
        for path in (f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/results"):
            assert client.get(path, headers=headers).status_code == status
        assert client.delete(f"/v1/jobs/{job_id}", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"json": {"calls": []}}, (422, "request.invalid", "calls")),
        ({"json": {"calls": [{"uri": "x"}]}}, (422, "request.invalid", "calls[0].channel")),
        (
            {"json": {"calls": [{"uri": "/etc/passwd", "channel": 0}]}},
            (403, "uri.not_allowed", "calls[0].uri"),
        ),
        (
            {"json": {"calls": [{"uri": "/x/0.wav", "channel": 0}] * 4}},
            (413, "request.too_many", "calls"),
        ),
        ({"files": {"files": ("a.wav", b"x")}}, (422, "request.invalid", "channel")),
        ({"content": b"x"}, (415, "request.media_type", "content-type")),
    ],
)
def test_a_bad_request_begins_nothing(
    store: Store, service: FakeService, desk: dict[str, str], tmp_path: Path, recordings: Path,
    request_: dict[str, Any], expected: tuple[int, str, str],
) -> None:  # fmt: skip
    app = application(store, service, tmp_path, recordings, "serving.limits.max_jobs=3")
    answer = TestClient(app, headers=desk).post("/v1/jobs", **request_)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == expected
    assert store.jobs.known() == set()
    assert not (tmp_path / "jobs").exists()
