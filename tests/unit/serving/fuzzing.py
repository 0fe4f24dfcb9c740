"""Requests that a document allows, and such that it does not, sent to the application behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from itertools import product
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from persona_ray.serving.application import BuildRouter, Services, build_app

# They expect a status by the form of a request alone, where a recording may be wrong and a URI not
# allowed; the last one sends wrong keys beside the right one (wrong keys: test_gate).
EXCLUDED = [
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
    checks.ignored_auth,
]
FEW, MANY = 20, 60
# Puts into a request what lets it pass the first checks.
ComeFurther = Callable[[Any, st.DataObject], None]


def schema_of(services: Services, routers: Collection[BuildRouter]) -> Any:
    """The document of an application, asked with a key that may do everything."""
    token = services.store.keys.create("fuzz", ["admin"]).token
    app = build_app(services, list(routers))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.update(headers={"authorization": f"Bearer {token}"})
    return schema


def operations(schema: Any) -> dict[str, Any]:
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


def tries(names: Collection[str], always_right: Collection[str]) -> pytest.MarkDecorator:
    """Of each operation right requests, and wrong ones unless all are `always_right`: a few with
    every run of the tests, many as a drill."""
    both = [
        *((name, GenerationMode.POSITIVE) for name in names),
        *((name, GenerationMode.NEGATIVE) for name in names if name not in always_right),
    ]
    how_many = (("few", FEW, ()), ("many", MANY, (pytest.mark.drill,)))
    return pytest.mark.parametrize(
        ("name", "mode", "examples"),
        [
            pytest.param(name, mode, count, id=f"{name}-{mode.value}-{said}", marks=marks)
            for (said, count, marks), (name, mode) in product(how_many, both)
        ],
    )


def statuses(
    operation: Any, mode: GenerationMode, come_further: ComeFurther, examples: int
) -> Counter[int]:
    """How often each came; fails where an answer is not as the document says, or a 5xx."""
    seen: Counter[int] = Counter()

    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    @settings(max_examples=examples, derandomize=True, suppress_health_check=list(HealthCheck))
    def tried(case: Any, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 3)):
            come_further(case, data)
        answer = case.call()
        case.validate_response(answer, excluded_checks=EXCLUDED)
        seen[answer.status_code] += 1
        assert answer.status_code < 500
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"code", "message", "field", "fix", "trace_id"}

    tried()
    # The key is taken: what is refused is refused for what it asks.
    assert not {401, 429} & set(seen)
    return seen
