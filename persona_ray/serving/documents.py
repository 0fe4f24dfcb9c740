"""Pieces of the OpenAPI document that FastAPI cannot know by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from persona_ray.serving.failures import ErrorAnswer

_MEANINGS = {
    400: "the address or the body cannot be read",
    401: "no key, or none that is valid",
    403: "the key may not do this, or the URI is not allowed",
    404: "there is no such thing",
    408: "it took too long",
    409: "it contradicts an earlier request",
    413: "too large, too long or too many",
    415: "a body of another kind",
    422: "a field or a recording is wrong",
    429: "the key's requests of this minute are used up; see Retry-After",
    500: "the service failed; report the trace id",
    503: "full, or a replica was lost; see Retry-After",
}
_OF_SOME = frozenset({404, 409})
_ALL: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": meaning} for status, meaning in _MEANINGS.items()
}
# Every route may answer these.
ERRORS = {status: answer for status, answer in _ALL.items() if status not in _OF_SOME}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: _ALL[404]}
CONFLICT: dict[int | str, dict[str, Any]] = {409: _ALL[409]}


def errors(
    *statuses: int, said: Mapping[int, str] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Of a route that answers these alone beside 400, and those of `said`, which have a meaning
    there."""
    found: dict[int | str, dict[str, Any]] = {status: _ALL[status] for status in (400, *statuses)}
    for status, meaning in (said or {}).items():
        found[status] = {"model": ErrorAnswer, "description": meaning}
    return found


def file_field(said: str) -> dict[str, Any]:
    """Of a form: one file, described by `said`."""
    return {"type": "string", "format": "binary", "description": said}


def files_field(said: str) -> dict[str, Any]:
    """Of a form: files, described by `said`."""
    return {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": said,
    }


def channel_field(said: str) -> dict[str, Any]:
    """Of a form: a channel, counted from 0."""
    return {"type": "integer", "minimum": 0, "description": f"{said}, from 0"}


def body(
    model: type[BaseModel], form: Mapping[str, Any], required: Sequence[str] = ()
) -> dict[str, Any]:
    """A body that is either JSON or a form with files, read by hand."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    inner = schema.pop("$defs", {})
    form_schema: dict[str, Any] = {
        "type": "object",
        "properties": dict(form),
        "additionalProperties": False,
    }
    if required:
        form_schema["required"] = list(required)
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form_schema},
                "application/json": {"schema": _inlined(schema, inner)},
            },
        }
    }


def _inlined(schema: Any, inner: Mapping[str, Any]) -> Any:
    """References replaced: FastAPI lists only schemas of bodies that it reads itself."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return _inlined(inner[reference.rpartition("/")[2]], inner)
        return {key: _inlined(value, inner) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inlined(item, inner) for item in schema]
    return schema
