"""What is wrong with a configuration, in the words of YAML instead of Python's."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Place = Sequence[int | str]


def explain(error: ValidationError, schema: type[BaseModel]) -> str:
    """One line that names each key, its value, and what it should be."""
    found = error.errors()
    parts = []
    for item in found:
        inside = any(
            other["loc"][: len(item["loc"])] == item["loc"]
            for other in found
            if len(other["loc"]) > len(item["loc"])
        )
        if item["type"] == "too_short" and inside:
            # pydantic counts only the items that are right, and those that are not are told.
            continue
        where = _dotted(item["loc"]) or "configuration"
        if item["type"] == "value_error":
            parts.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
            continue
        given = item["input"]
        shown = repr(given) if isinstance(given, str) else as_yaml(given)
        parts.append(f"{where} = {shown}: {_said(item, schema)}")
    return "; ".join(parts)


def as_yaml(value: object) -> str:
    """A value as it would be written behind `key: `, a text of several lines as a block."""
    plain = to_jsonable_python(value)
    if isinstance(plain, str) and "\n" in plain:
        return "|\n" + plain.rstrip("\n")
    text = yaml.safe_dump(
        plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
    )
    return text.removesuffix("\n").removesuffix("\n...")


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds, None where it holds a value or a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        for option in typing.get_args(annotation):
            found = section_of(option)
            if found is not None:
                return found
    return None


def listed_section(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds a list of."""
    if typing.get_origin(annotation) is not tuple:
        return None
    return section_of(typing.get_args(annotation)[0])


def _dotted(place: Place) -> str:
    """`("iterations", 0, "clusters")` -> `iterations[0].clusters`"""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _said(item: ErrorDetails, schema: type[BaseModel]) -> str:
    """pydantic's words, but for those that speak of Python."""
    kind, bounds = item["type"], item.get("ctx", {})
    annotation = _annotation_at(item["loc"], schema)
    section = section_of(annotation)
    if kind == "model_type" and section is not None:
        keys = ", ".join(sorted(section.model_fields))
        return f"must be a map, like {_example(section)}; valid keys: {keys}"
    words = {
        "tuple_type": f"must be a list, like {_example(annotation)}",
        "too_short": f"must have {bounds.get('min_length')} or more in its list",
        "too_long": f"must have {bounds.get('max_length')} or fewer in its list",
        "path_type": "must be a path",
    }
    return words.get(kind, item["msg"])


def _annotation_at(place: Place, schema: type[BaseModel]) -> Any:
    """The type that the configuration has at `place`."""
    found: Any = schema
    for part in place:
        section = section_of(found)
        if isinstance(part, int):
            found = typing.get_args(found)[0]
        elif section is not None and part in section.model_fields:
            found = section.model_fields[part].annotation
        else:
            return None
    return found


def _example(annotation: Any) -> str:
    """A value of the type, as YAML."""
    section = section_of(annotation)
    if section is not None:
        name, field = next(iter(section.model_fields.items()))
        inner = field.annotation
        default = field.get_default(call_default_factory=True)
        return f"{{{name}: {_example(inner) if section_of(inner) else as_yaml(default)}}}"
    if typing.get_origin(annotation) is not tuple:
        return "a"
    inner = typing.get_args(annotation)[0]
    if typing.get_origin(inner) is typing.Literal:
        return f"[{', '.join(typing.get_args(inner))}]"
    if section_of(inner) is not None:
        return f"[{_example(inner)}]"
    return "[1, 2]" if inner is int else "[a, b]"
