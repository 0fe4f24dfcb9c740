"""Records out of the JSON that they were written as."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from persona_ray.models.manifest import first_error

RecordT = TypeVar("RecordT")


def record_of(kind: type[RecordT], tree: object) -> RecordT:
    """`tree`, as JSON gives it, as the dataclass `kind`; further keys are left out. Raises
    ValueError, in one line, where a field is missing or of another type."""
    try:
        return TypeAdapter(kind).validate_python(tree)
    except ValidationError as error:
        raise ValueError(first_error(error)) from None
