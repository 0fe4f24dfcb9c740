"""Strict loading: YAML, then `a.b=c` overrides, then the typed tree."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from persona_ray.config.base import Section
from persona_ray.config.explain import as_yaml, explain, listed_section, section_of
from persona_ray.config.schema import RunConfig
from persona_ray.config.secrets import refuse_secrets
from persona_ray.errors import ConfigError
from persona_ray.files import write_whole

SectionT = TypeVar("SectionT", bound=Section)


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """Read `path` (YAML; absent: all defaults) and apply `overrides` such as `training.epochs=3`.

    Raises ConfigError for an unreadable file, an unknown key (with the valid ones), a bad value or
    a password in an address.
    """
    return load_section(RunConfig, path, overrides)


def load_section(
    schema: type[SectionT], path: Path | None = None, overrides: Sequence[str] = ()
) -> SectionT:
    """The same for any other strict section, such as the synthetic archive's."""
    tree = _read_yaml(path) if path is not None else {}
    for override in overrides:
        _apply(tree, override)
    _check_keys(tree, schema, where="")
    refuse_secrets(tree)
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain(error, schema)) from None


def write_config(config: BaseModel, path: Path) -> None:
    """Write the whole tree, defaults included, so that a run can be repeated from its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_whole(path, text)


def describe(
    schema: type[BaseModel] = RunConfig, prefix: str = "", items: bool = False
) -> Iterator[tuple[str, str, str]]:
    """Every dotted key with its default (as YAML) and its description.

    `items`: also the keys of sections that stand in a list, as `list[].key`.
    """
    for name, field in schema.model_fields.items():
        inner = section_of(field.annotation)
        if inner is not None:
            yield from describe(inner, f"{prefix}{name}.", items)
            continue
        default = field.get_default(call_default_factory=True)
        yield f"{prefix}{name}", as_yaml(default), field.description or ""
        listed = listed_section(field.annotation)
        if items and listed is not None:
            yield from describe(listed, f"{prefix}{name}[].", items)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"configuration {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        first_line = " ".join(str(error).split())
        raise ConfigError(f"configuration {path} is not YAML: {first_line}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            f"configuration {path} must be a map of sections, not {type(tree).__name__}"
        )
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    dotted, separator, raw = override.partition("=")
    keys = dotted.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"override '{override}' must look like section.key=value")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        value = raw
    if value is None:
        value = "" if not raw.strip() else None
    # YAML 1.1 reads 1e-5 (no dot) as text; people mean a number.
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value) if "e" in value.lower() else value
    node = tree
    for key in keys[:-1]:
        child = node.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(f"override '{override}': '{key}' is a value, not a section")
        node = child
    node[keys[-1]] = value


def _check_keys(tree: Mapping[str, Any], schema: type[BaseModel], where: str) -> None:
    for key, value in tree.items():
        if key not in schema.model_fields:
            valid = sorted(schema.model_fields)
            near = difflib.get_close_matches(str(key), valid, n=1)
            hint = f"did you mean '{where}{near[0]}'? " if near else ""
            raise ConfigError(f"unknown key '{where}{key}': {hint}valid keys: {', '.join(valid)}")
        annotation = schema.model_fields[key].annotation
        inner, listed = section_of(annotation), listed_section(annotation)
        if inner is not None and isinstance(value, Mapping):
            _check_keys(value, inner, f"{where}{key}.")
        elif listed is not None and isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, Mapping):
                    _check_keys(item, listed, f"{where}{key}[{number}].")
