"""Whatever is sent to the routes behind the pages, nothing makes a 5xx, and every answer is as the
document says."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from persona_ray.config import load_config
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.routes.annotate import annotate
from persona_ray.serving.routes.models import models
from persona_ray.serving.routes.pages import pages
from persona_ray.store import open_store
from tests.unit.corpus.folders import encoded, write_corpus
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.models_fakes import FakeDesk

EXAMPLES = 40
EXCLUDED = [
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
    checks.ignored_auth,
]
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
            token = store.keys.create("fuzz", ["admin"]).token
            services = Services(config, FakeService(), store)
            app = build_app(services, [pages, annotate, models(FakeDesk())])
            schema = schemathesis.openapi.from_asgi("/openapi.json", app)
            schema.config.update(headers={"authorization": f"Bearer {token}"})
            yield Api(schema, next(corpus.infos()).clip_id)


def operations(api: Api) -> dict[str, Any]:
    return {found.ok().label: found.ok() for found in api.schema.get_all_operations()}


def test_every_operation_is_tried(api: Api) -> None:
    assert set(operations(api)) == set(OPERATIONS)


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


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, GenerationMode.POSITIVE) for name in OPERATIONS),
        *((name, GenerationMode.NEGATIVE) for name in OPERATIONS if name not in ALWAYS_RIGHT),
    ],
)
def test_no_request_breaks_the_service(api: Api, name: str, mode: GenerationMode) -> None:
    seen: Counter[int] = Counter()

    @given(case=operations(api)[name].as_strategy(generation_mode=mode), data=st.data())
    @settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck))
    def tried(case: Any, data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            come_further(case, data, api)
        answer = case.call()
        case.validate_response(answer, excluded_checks=EXCLUDED)
        seen[answer.status_code] += 1
        assert answer.status_code < 500
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"code", "message", "field", "fix", "trace_id"}

    tried()
    assert not {401, 429} & set(seen)
    if mode is GenerationMode.POSITIVE and name not in MADE_UP:
        assert seen[200] + seen[202] > 0
