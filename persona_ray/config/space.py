"""A sweep's space over the configuration tree: checked keys and values, combined."""

from __future__ import annotations

import difflib
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from persona_ray.config.explain import as_yaml, explain, section_of
from persona_ray.config.learning import TrainingConfig
from persona_ray.config.sweep import Distribution, SweepConfig
from persona_ray.errors import ConfigError

# What fine-tuning depends on; the others are settled before it, or change nothing it learns.
SWEPT = ("training", "model", "engine")
THRESHOLD, DECAY = "training.frozen_epochs", "training.decay_rate"
_THRESHOLDS, _DECAYS = (1, 2, 3, 5, 8), (0.9, 0.95, 1.0)
# Draws in search of a combination that was not drawn before.
_DRAWS = 200

# A value for each key of a space.
Values = Mapping[str, Any]


def check_space(schema: type[BaseModel], space: Mapping[str, Distribution]) -> None:
    """Raise ValueError for a key that is not there or cannot vary, and for a value that the key
    does not take. Whether values fit each other is seen when they are combined."""
    for path, distribution in space.items():
        section, _, _ = path.partition(".")
        field = _field(schema, path)
        if section not in SWEPT:
            raise ValueError(
                f"space: '{path}' cannot vary: fine-tuning depends on {', '.join(SWEPT)}; the "
                "other sections are settled before it, or change nothing that it learns"
            )
        if path == "training.seed":
            raise ValueError("space: training.seed is no setting to choose: list sweep.seeds")
        _check_values(path, field, distribution)


def space_of(sweep: SweepConfig, training: TrainingConfig) -> dict[str, Distribution]:
    """The configured space, or freeze thresholds up to all epochs with decay rates."""
    if sweep.space:
        return dict(sweep.space)
    epochs = training.epochs
    thresholds = (*(threshold for threshold in _THRESHOLDS if threshold < epochs), epochs)
    return {THRESHOLD: Distribution(grid=thresholds), DECAY: Distribution(grid=_DECAYS)}


def combinations(space: Mapping[str, Distribution], sweep: SweepConfig) -> list[dict[str, Any]]:
    """All of a grid, or `samples` different ones drawn at random: the same for the same seeds.

    Raises ConfigError for a range in a grid.
    """
    if sweep.search == "grid":
        for path, distribution in space.items():
            if distribution.values is None:
                raise ConfigError(
                    f"sweep.search grid needs lists, and sweep.space {path} is {distribution.kind}:"
                    " give {grid: [...]}, or --set sweep.search=random"
                )
        lists = [distribution.values or () for distribution in space.values()]
        return [dict(zip(space, row, strict=True)) for row in itertools.product(*lists)]
    dice = random.Random(sweep.seeds[0])
    drawn: dict[str, dict[str, Any]] = {}
    for _ in range(_DRAWS * sweep.samples):
        values = {path: distribution.at(dice.random()) for path, distribution in space.items()}
        drawn.setdefault(shown(values), values)
        if len(drawn) == sweep.samples:
            break
    return list(drawn.values())


def corners(space: Mapping[str, Distribution]) -> list[dict[str, Any]]:
    """Combinations of the ends of ranges and of all listed values, a thousand at most."""
    ends = [distribution.ends() for distribution in space.values()]
    rows = itertools.islice(itertools.product(*ends), 1000)
    return [dict(zip(space, row, strict=True)) for row in rows]


def shown(values: Values) -> str:
    """`training.frozen_epochs=5, training.decay_rate=0.95`"""
    return ", ".join(f"{path}={short(value)}" for path, value in values.items())


def short(value: object) -> str:
    """As YAML; drawn numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else as_yaml(value)


def with_values(config: BaseModel, values: Values) -> Any:
    """A tree like `config` with `values` in it. Raises ConfigError where they do not fit."""
    tree = config.model_dump(mode="json")
    for path, value in values.items():
        *sections, name = path.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[name] = json.loads(json.dumps(value))
    try:
        return type(config).model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain(error, type(config))) from None


def check_combinations(config: BaseModel, rows: Sequence[Values]) -> None:
    """Raise ConfigError that names the first of `rows` that is impossible, and how many are."""
    wrong = []
    for values in rows:
        try:
            with_values(config, values)
        except ConfigError as error:
            wrong.append(f"{shown(values)}: {error}")
    if wrong:
        raise ConfigError(
            f"{len(wrong)} of {len(rows)} combinations of sweep.space are impossible, first "
            f"{wrong[0]}"
        )


def _field(schema: type[BaseModel], path: str) -> FieldInfo:
    section, keys = schema, path.split(".")
    for name in keys[:-1]:
        field = section.model_fields.get(name)
        inner = None if field is None else section_of(field.annotation)
        if inner is None:
            raise ValueError(_unknown(schema, path))
        section = inner
    field = section.model_fields.get(keys[-1])
    if field is None:
        raise ValueError(_unknown(schema, path))
    inner = section_of(field.annotation)
    if inner is not None:
        keys = sorted(f"{path}.{name}" for name in inner.model_fields)
        raise ValueError(f"space: '{path}' is a section: name one of its keys ({', '.join(keys)})")
    return field


def _unknown(schema: type[BaseModel], path: str) -> str:
    keys = list(_leaves(schema))
    # By the last part too: people forget the section.
    last = path.rpartition(".")[2]
    near = difflib.get_close_matches(path, keys, n=3)
    near += [key for key in keys if difflib.get_close_matches(last, [key.rpartition(".")[2]], 1)]
    names = list(dict.fromkeys(key for key in near if key.split(".")[0] in SWEPT))[:4]
    hint = f"near are {', '.join(names)}" if names else "`persona-ray config keys` lists all"
    return f"space: there is no key '{path}': {hint}"


def _leaves(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        inner = section_of(field.annotation)
        if inner is None:
            yield f"{prefix}{name}"
        else:
            yield from _leaves(inner, f"{prefix}{name}.")


def _check_values(path: str, field: FieldInfo, distribution: Distribution) -> None:
    annotated: Any = Annotated[(field.annotation, field)]
    taken: TypeAdapter[Any] = TypeAdapter(annotated)
    for value in distribution.ends():
        try:
            taken.validate_python(json.loads(json.dumps(value)))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            hint = ""
            if distribution.kind in ("uniform", "loguniform") and "integer" in reason:
                hint = "; whole numbers are drawn by {randint: [first, last]}"
            raise ValueError(f"space: {path} cannot be {as_yaml(value)}: {reason}{hint}") from None
