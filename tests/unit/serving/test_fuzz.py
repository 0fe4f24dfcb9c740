"""Whatever a client sends, nothing makes a 5xx, and every answer is as the document says."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.transport.serialization import Binary

from persona_ray.config import load_config
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.local import LocalService
from persona_ray.serving.routes.health import health
from persona_ray.serving.routes.jobs import jobs
from persona_ray.serving.routes.recognitions import recognitions
from persona_ray.store import Store, open_store
from persona_ray.store.jobs import JobCall
from persona_ray.types import Modality
from tests.unit.inference.test_personality import Scripted, recognizer
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.fuzzing import operations, schema_of, statuses, tries
from tests.unit.serving.sounds import broken, good

LISTS = ("clips", "calls")
ALWAYS_RIGHT = ("GET /health", "GET /health/ready", "GET /metrics", "GET /v1/jobs/{job_id}")


@dataclass(frozen=True)
class Api:
    schema: Any
    folder: Path
    store: Store


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """The document and the application behind it, over a service that only reads: text alone gets
    to the model."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.wav").write_bytes(good(channels=2))
        config = load_config(
            None,
            [
                f"workspace={folder}",
                f"serving.limits.uri_roots=[{folder}]",
                "serving.keys.requests_per_minute=100000",
            ],
        )
        with open_store(config.store_url) as store:
            services = Services(config, FakeService(hears=False), store)
            yield Api(schema_of(services, [health, recognitions, jobs]), folder, store)


OPERATIONS = (
    "GET /health",
    "GET /health/ready",
    "GET /metrics",
    "POST /v1/recognitions/clips",
    "POST /v1/recognitions/calls",
    "POST /v1/jobs",
    "GET /v1/jobs/{job_id}",
    "GET /v1/jobs/{job_id}/results",
    "DELETE /v1/jobs/{job_id}",
)


def test_every_operation_is_tried(api: Api) -> None:
    assert set(operations(api.schema)) == set(OPERATIONS)


def some_job(api: Api) -> str:
    job_id = secrets.token_hex(8)
    calls = [JobCall("a", f"{api.folder}/a.wav", 0)]
    return api.store.jobs.create(job_id, "", calls, datetime.now(UTC)).job_id


def come_further(case: Any, data: st.DataObject, api: Api) -> None:
    """Put into a request what lets it pass the first checks."""
    if "job_id" in (case.path_parameters or {}):
        case.path_parameters["job_id"] = some_job(api)
    body = case.body
    if not isinstance(body, dict):
        return
    clips, calls = (found if isinstance(found, list) else [] for found in map(body.get, LISTS))
    for source in (body, *clips, *calls):
        if isinstance(source, dict) and "uri" in source:
            source["uri"], source["channel"] = f"{api.folder}/a.wav", data.draw(st.integers(0, 1))
        elif isinstance(source, dict) and source is not body:
            source["text"] = source.get("text") or "好"
    if body.get("files"):
        body.pop("texts", None)
    if "channel" in body:
        body["channel"] = data.draw(st.integers(0, 1))
    recordings = st.sampled_from([good(), good(channels=2)]) | st.sampled_from([*broken().values()])
    for field in ("file", "files"):
        found = body.get(field)
        if isinstance(found, list):
            body[field] = [Binary(data.draw(recordings)) for _ in found]
        elif found is not None:
            body[field] = Binary(data.draw(recordings))


@tries(OPERATIONS, ALWAYS_RIGHT)
def test_no_request_breaks_the_service(
    api: Api, name: str, mode: GenerationMode, examples: int
) -> None:
    seen = statuses(
        operations(api.schema)[name],
        mode,
        lambda case, data: come_further(case, data, api),
        examples,
    )
    if mode is GenerationMode.POSITIVE:
        assert seen[200] + seen[202] > 0


@pytest.mark.parametrize("modality", list(Modality))
def test_no_recording_breaks_a_model(modality: Modality, tmp_path: Path) -> None:
    config = load_config(None, [f"workspace={tmp_path}"])
    service = LocalService(recognizer(modality, Scripted("有没有书面的合同")))
    with open_store(config.store_url) as store:
        token = store.keys.create("fuzz", ["recognise"]).token
        app = build_app(Services(config, service, store), [recognitions])
        client = TestClient(app, headers={"authorization": f"Bearer {token}"})
        found: dict[str, int] = {}
        for name, recording in {**broken(), "good": good(channels=2, seconds=3.0)}.items():
            for path, field in (("clips", "files"), ("calls", "file")):
                answer = client.post(
                    f"/v1/recognitions/{path}",
                    files={field: (name, recording)},
                    data={"channel": "0"},
                )
                found[f"{path} {name}"] = answer.status_code
    assert {name: status for name, status in found.items() if status not in (200, 413, 422)} == {}
    assert found["clips good"] == found["calls good"] == 200
