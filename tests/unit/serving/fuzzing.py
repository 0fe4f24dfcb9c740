"""Requests that a document allows, and such that it does not, sent to the application behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

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


def tries(
    names: Collection[str], always_right: Collection[str]
) -> list[tuple[str, GenerationMode]]:
    """Of each operation right requests, and wrong ones unless none can be `always_right`."""
    return [
        *((name, GenerationMode.POSITIVE) for name in names),
        *((name, GenerationMode.NEGATIVE) for name in names if name not in always_right),
    ]


def statuses(
    operation: Any, mode: GenerationMode, come_further: ComeFurther, examples: int
) -> Counter[int]:
    """How often each came; fails where an answer is not as the document says, or a 5xx."""
    seen: Counter[int] = Counter()

    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    @settings(max_examples=examples, derandomize=True, suppress_health_check=list(HealthCheck))
    def tried(case: Any, data: st.DataObject) -> None:
        if data.draw(st.booleans()):
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
