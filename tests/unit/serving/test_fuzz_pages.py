"""Whatever is sent to the routes behind the pages, nothing makes a 5xx, and every answer is as the
document says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from schemathesis import GenerationMode

from persona_ray.config import load_config
from persona_ray.serving.application import Services
from persona_ray.serving.routes.annotate import annotate
from persona_ray.serving.routes.models import models
from persona_ray.serving.routes.pages import pages
from persona_ray.store import open_store
from tests.unit.corpus.folders import encoded, write_corpus
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.fuzzing import operations, schema_of, statuses, tries
from tests.unit.serving.models_fakes import FakeDesk

ALWAYS_RIGHT = ("GET /v1/pages/settings", "GET /v1/models", "GET /v1/models/errands/{errand_id}")
# A clip or an errand of which a client made up the id is not there.
MADE_UP = ("GET /v1/models/errands/{errand_id}",)
OPERATIONS = (
    "GET /v1/pages/settings",
    "GET /v1/pages/access",
    "GET /v1/annotation",
    "GET /v1/annotation/queue",
    "GET /v1/annotation/clips/{clip_id}/audio",
    "PUT /v1/annotation/clips/{clip_id}/label",
    "DELETE /v1/annotation/clips/{clip_id}/label",
    "GET /v1/models",
    "GET /v1/models/versions/{number}",
    "GET /v1/models/versions/{number}/plots/{name}",
    "POST /v1/models/comparisons",
    "POST /v1/models/promotions",
    "POST /v1/models/rollback",
    "GET /v1/models/errands/{errand_id}",
)


@dataclass(frozen=True)
class Api:
    schema: Any
    clip_id: str


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with tempfile.TemporaryDirectory() as name:
        config = load_config(
            None, [f"workspace={Path(name)}", "serving.keys.requests_per_minute=100000"]
        )
        corpus = write_corpus(config.corpus_dir, [encoded(number) for number in range(6)])
        with open_store(config.store_url) as store:
            services = Services(config, FakeService(), store)
            schema = schema_of(services, [pages, annotate, models(FakeDesk())])
            yield Api(schema, next(corpus.infos()).clip_id)


def test_every_operation_is_tried(api: Api) -> None:
    assert set(operations(api.schema)) == set(OPERATIONS)


def come_further(case: Any, data: st.DataObject, api: Api) -> None:
    """Put into a request what is there."""
    known = {"clip_id": api.clip_id, "number": 2, "name": "evidence-bundle.svg"}
    for name in case.path_parameters or {}:
        case.path_parameters[name] = known.get(name, case.path_parameters[name])
    if isinstance(case.body, dict):
        if "label" in case.body:
            case.body["label"] = data.draw(st.sampled_from(["red", "绿色", "uncertain", "mauve"]))
        for field in ("version", "first", "second"):
            if field in case.body:
                case.body[field] = data.draw(st.integers(1, 4))


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
    if mode is GenerationMode.POSITIVE and name not in MADE_UP:
        assert seen[200] + seen[202] > 0
