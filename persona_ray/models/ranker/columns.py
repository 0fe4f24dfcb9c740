"""Named features as columns: standardised as in training, the mean where nobody knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from persona_ray.models.contract import FeatureColumn

if TYPE_CHECKING:
    from torch import Tensor

# A feature is named `group=value` or `group.name`.
_MARK = re.compile(r"[=.]")
# Beyond so many standard deviations a value tells no more.
_WIDEST = 4.0


def group_of(name: str) -> str:
    """`colour` of `colour.red`: what is known or not known at once."""
    return _MARK.split(name, maxsplit=1)[0]


def columns_of(rows: Sequence[Mapping[str, float]], least: int = 1) -> tuple[FeatureColumn, ...]:
    """One for each name that stands in `least` rows and is not the same in all. A row counts where
    it has a feature of the group: those that it leaves out are 0 then."""
    groups: dict[str, int] = {}
    values: dict[str, list[float]] = {}
    for row in rows:
        for group in {group_of(name) for name in row}:
            groups[group] = groups.get(group, 0) + 1
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    found = []
    for name in sorted(values):
        known = groups[group_of(name)]
        mean = sum(values[name]) / known
        spread = max(sum(value * value for value in values[name]) / known - mean * mean, 0.0)
        if spread > 1e-12 and len(values[name]) >= least:
            found.append(FeatureColumn(name=name, mean=mean, scale=spread**0.5))
    return tuple(found)


def standardised(rows: Sequence[Mapping[str, float]], columns: Sequence[FeatureColumn]) -> Tensor:
    """(rows, columns): zero mean and unit variance over the rows of training. Names without a
    column are not read; a group that a row has nothing of is 0, the mean."""
    table = torch.zeros(len(rows), len(columns))
    groups = [group_of(column.name) for column in columns]
    for at, row in enumerate(rows):
        known = {group_of(name) for name in row}
        table[at] = torch.tensor(
            [
                (row.get(column.name, 0.0) - column.mean) / column.scale if group in known else 0.0
                for column, group in zip(columns, groups, strict=True)
            ]
        )
    return table.clamp(-_WIDEST, _WIDEST)
