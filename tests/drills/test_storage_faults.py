"""The database and S3 fail under work: what was acknowledged is there, the rest says so."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from fastapi import FastAPI

from persona_ray.audio.decode import read_audio
from persona_ray.config import RunConfig, load_config
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.errors import StorageAwayError
from persona_ray.launch.storage.artefacts import Artefacts
from persona_ray.progress import SilentProgress
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.routes.jobs import jobs
from persona_ray.store import open_store
from tests.postgres import Postgres, free_port, postgres
from tests.services import S3
from tests.unit.corpus.calls import make_archive, run_config
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.sounds import good

pytestmark = pytest.mark.drill

CLIENTS = 4
LOAD_S = 25.0
# Shorter, and longer, than a new transaction waits for a server that was there.
RESTART_S, OUTAGE_S = 1.0, 9.0
S3_AWAY_S = 20.0


@pytest.fixture
def server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    port = free_port()
    service = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="critical"))
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    while not service.started:
        time.sleep(0.1)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        service.should_exit = True
        thread.join(30)


def test_the_database_under_a_service(server: Postgres, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings/0.wav").write_bytes(good(channels=2))
    roots = f"serving.limits.uri_roots=[{tmp_path / 'recordings'}]"
    config = load_config(None, [f"workspace={tmp_path}", roots])
    body: Any = {"calls": [{"name": "a", "uri": f"{tmp_path}/recordings/0.wav", "channel": 1}]}
    with open_store(server.url.format(database="postgres")) as store:
        key = {"authorization": f"Bearer {store.keys.create('load', ['jobs'], 100_000).token}"}
        app = build_app(Services(config, FakeService(), store), [jobs])
        with listening(app) as url:
            answers: list[tuple[float, int, Any]] = []
            until = time.monotonic() + LOAD_S

            def ask() -> None:
                with requests.Session() as client:
                    while time.monotonic() < until:
                        began = time.monotonic()
                        answer = client.post(f"{url}/v1/jobs", json=body, headers=key, timeout=30)
                        took = time.monotonic() - began
                        answers.append((took, answer.status_code, answer.json()))
                        time.sleep(0.1)

            with ThreadPoolExecutor(CLIENTS) as pool:
                clients = [pool.submit(ask) for _ in range(CLIENTS)]
                for away_s in (RESTART_S, OUTAGE_S):
                    time.sleep(3)
                    server.stop()
                    time.sleep(away_s)
                    server.start()
            for client in clients:
                # Raises what the client met that is no answer.
                client.result()
            taken = [answer["id"] for _, status, answer in answers if status == 202]
            told = [answer["error"] for _, status, answer in answers if status != 202]
            print(Counter(status for _, status, _ in answers), max(took for took, _, _ in answers))
            assert len(taken) > 20
            assert told
            assert {error["code"] for error in told} == {"service.store"}
            assert max(took for took, _, _ in answers) < 20.0
            # Taken is kept, and done without being asked for again.
            with requests.Session() as asked:
                asked.headers.update(key)
                deadline = time.monotonic() + 120
                for job_id in taken:
                    while asked.get(f"{url}/v1/jobs/{job_id}").json()["state"] != "done":
                        assert time.monotonic() < deadline
                        time.sleep(0.2)


def corpus_in(s3: S3, folder: Path, calls: int) -> RunConfig:
    made = run_config(folder, make_archive(folder, calls))
    root = Path(made.archive.audio_root)
    s3.upload(root / "audio", "calls/audio")
    shutil.rmtree(root / "audio")
    archive = made.archive.model_copy(update={"audio_root": f"{s3.uri}/calls"})
    storage = made.storage.model_copy(update={"artefacts": f"{s3.uri}/work"})
    return made.model_copy(update={"archive": archive, "storage": storage})


def no_recogniser(_: object) -> Any:
    raise AssertionError("every call has a transcript")


def test_s3_is_away_for_a_while(s3: S3, tmp_path: Path) -> None:
    config = corpus_in(s3, tmp_path, 10)
    s3.front.fail_for(S3_AWAY_S, status=503)
    summary = build_corpus(config, build=no_recogniser)
    assert (summary.new_calls, summary.later) == (10, 0)
    assert summary.count("quarantined_unreadable") == 2
    s3.front.fail_for(S3_AWAY_S, status=503)
    assert [part.name for part in Artefacts(config, SilentProgress()).push()] == ["corpus"]
    with s3.front.failing(wait_s=60.0):
        started = time.monotonic()
        other = config.model_copy(update={"workspace": tmp_path / "other"})
        threading.Timer(10.0, setattr, (s3.front.trouble, "wait_s", 0.0)).start()
        Artefacts(other, SilentProgress()).pull()
        print(f"a storage that hangs for 10 s costs {time.monotonic() - started:.0f} s")
    fetched = CorpusDataset.open(other.corpus_dir)
    fetched.verify()
    assert fetched.fingerprint == CorpusDataset.open(config.corpus_dir).fingerprint


def test_a_storage_that_hangs_is_given_up(s3: S3) -> None:
    s3.client().put_object(Bucket=s3.bucket, Key="call.wav", Body=good())
    started = time.monotonic()
    with s3.front.failing(wait_s=1000.0), pytest.raises(StorageAwayError):
        read_audio(f"{s3.uri}/call.wav")
    took_s = time.monotonic() - started
    print(f"a read that nobody answers ends after {took_s:.0f} s")
    assert took_s < 150
