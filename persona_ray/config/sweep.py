"""The section of a sweep: which keys vary, how values are chosen, and how they are judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from persona_ray.config.base import Section

KINDS = ("grid", "choice", "uniform", "loguniform", "randint")
_LIKE = "{grid: [1, 2]}, {choice: [a, b]}, {uniform: [0, 1]}, {loguniform: [1.0e-5, 1.0e-3]}" + (
    " or {randint: [1, 8]}"
)

Metric = Literal["loss", "clip_accuracy", "clip_macro_f1", "customer_accuracy", "customer_macro_f1"]


class Distribution(Section):
    """Values of one key: exactly one of these."""

    grid: tuple[Any, ...] | None = Field(None, description="all of these values, in this order")
    choice: tuple[Any, ...] | None = Field(None, description="any of these values")
    uniform: tuple[float, float] | None = Field(None, description="any number between the two")
    loguniform: tuple[float, float] | None = Field(
        None, description="any number between the two, its logarithm drawn evenly"
    )
    randint: tuple[int, int] | None = Field(
        None, description="any whole number from the first to the second, both included"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_one_kind(cls, value: object) -> object:
        if isinstance(value, Distribution):
            return value
        named = list(value) if isinstance(value, Mapping) else []
        if len(named) != 1 or named[0] not in KINDS:
            raise ValueError(f"must be one of {_LIKE}, not {value!r}")
        return value

    @model_validator(mode="after")
    def _has_values(self) -> Distribution:
        if self.values is not None:
            if not self.values:
                raise ValueError(f"{self.kind} has no value")
            return self
        low, high = self.bounds
        if low >= high or (self.loguniform is not None and low <= 0):
            least = "0 < " if self.loguniform is not None else ""
            raise ValueError(f"{self.kind} [{low:g}, {high:g}] must be {least}first < second")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {kind: value for kind, value in whole(self).items() if value is not None}

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def values(self) -> tuple[Any, ...] | None:
        """Those of a list, None for a range."""
        return self.grid if self.grid is not None else self.choice

    @property
    def bounds(self) -> tuple[float, float]:
        """Of a range."""
        found = self.uniform or self.loguniform or self.randint
        assert found is not None
        return found

    def at(self, share: float) -> Any:
        """The value at `share` (0 to below 1) of the distribution."""
        if self.values is not None:
            return self.values[int(share * len(self.values))]
        low, high = self.bounds
        if self.randint is not None:
            return int(low) + int(share * (int(high) - int(low) + 1))
        if self.loguniform is not None:
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        return low + share * (high - low)

    def ends(self) -> tuple[Any, ...]:
        """All values of a list; of a range its ends and one between."""
        return self.values if self.values is not None else (*self.bounds, self.at(1 / math.pi))


class SweepConfig(Section):
    """Many fine-tunings that differ in some keys, to find the best values."""

    space: dict[str, Distribution] = Field(
        {},
        description="dotted keys of the sections training, model and engine with the values to "
        "try, such as training.decay_rate: {grid: [0.9, 1.0]}; lists (grid, choice) and ranges "
        "(uniform, loguniform, randint). Empty: training.frozen_epochs 1, 2, 3, 5, 8 and all, with "
        "training.decay_rate 0.9, 0.95 and 1.0",
    )
    search: Literal["grid", "random", "optuna"] = Field(
        "grid",
        description="grid: every combination; random: `samples` of them; optuna: `samples`, each "
        "chosen after the ones before (`pip install 'persona-ray[optuna]'`)",
    )
    samples: int = Field(20, ge=1, description="combinations that random and optuna try")
    scheduler: Literal["none", "asha"] = Field(
        "none",
        description="asha: after grace_epochs, and each time `reduction` times as many, all but "
        "the best of every `reduction` are stopped; none: all are trained to their end",
    )
    grace_epochs: int = Field(3, ge=1, description="epochs that asha leaves to all")
    reduction: int = Field(3, ge=2, description="of so many, asha lets one go on")
    seeds: tuple[int, ...] = Field(
        (0,),
        min_length=1,
        description="each combination is trained with each of these; its score is the mean",
    )
    folds: int = Field(
        0,
        ge=0,
        description="0: judged on the dev split; from 2: customers of train and dev are rotated "
        "through so many held-out folds, from encoders of the model section, which read none of "
        "them",
    )
    metric: Metric = Field("loss", description="score of the held-out clips or customers")
    max_concurrent: int | None = Field(
        None, ge=1, description="trials at a time; empty: as many as there is room for"
    )
    cpus_per_trial: float = Field(
        1, gt=0, description="logical processors, and threads, of a trial of a small model"
    )

    @field_validator("space", mode="before")
    @classmethod
    def _sections_may_nest(cls, value: object) -> object:
        """`--set sweep.space.training.epochs={grid: [3]}` nests where YAML has dotted keys."""
        if not isinstance(value, Mapping):
            return value
        flat: dict[str, object] = {}

        def walk(prefix: str, node: Mapping[Any, object]) -> None:
            for key, below in node.items():
                path = f"{prefix}{key}"
                if isinstance(below, Mapping) and below and not set(below) & set(KINDS):
                    walk(f"{path}.", below)
                else:
                    flat[path] = below

        walk("", value)
        return flat

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError(f"seeds {list(seeds)} must differ, and none be below 0")
        return seeds

    @field_validator("folds")
    @classmethod
    def _one_fold_holds_nobody_in(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("folds 1 leaves nothing to learn from: give 0 or at least 2")
        return folds

    @property
    def smaller_is_better(self) -> bool:
        return self.metric == "loss"
