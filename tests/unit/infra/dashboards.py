"""What a dashboard of ours may hold: as much of Grafana's model as they use, and nothing else."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_COLUMNS = 24


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSource(_Strict):
    type: Literal["prometheus"]
    uid: Literal["${datasource}"]


class Place(_Strict):
    x: int = Field(ge=0, lt=_COLUMNS)
    y: int = Field(ge=0)
    w: int = Field(ge=1, le=_COLUMNS)
    h: int = Field(ge=1, le=20)

    def meets(self, other: Place) -> bool:
        return (
            self.x < other.x + other.w
            and other.x < self.x + self.w
            and self.y < other.y + other.h
            and other.y < self.y + self.h
        )


class Target(_Strict):
    ref_id: str = Field(alias="refId", pattern=r"^[A-Z]$")
    datasource: DataSource
    expr: str = Field(min_length=1)
    legend_format: str = Field(alias="legendFormat")


class Step(_Strict):
    color: Literal["green", "orange", "red"]
    value: float | None


class Thresholds(_Strict):
    mode: Literal["absolute"]
    steps: Annotated[tuple[Step, ...], Field(min_length=2)]


class Stacking(_Strict):
    mode: Literal["none", "normal"]


class Lines(_Strict):
    line_width: int = Field(alias="lineWidth")
    fill_opacity: int = Field(alias="fillOpacity", ge=0, le=100)
    stacking: Stacking


class Defaults(_Strict):
    unit: Literal[
        "short", "s", "bytes", "percent", "percentunit", "reqps", "cps"
    ]  # Grafana takes any word for a unit, and shows it
    min: float | None = None
    max: float | None = None
    custom: Lines | None = None
    thresholds: Thresholds | None = None


class FieldConfig(_Strict):
    defaults: Defaults
    overrides: tuple[()]


class Panel(_Strict):
    id: int = Field(ge=1)
    type: Literal["timeseries", "stat"]
    title: str = Field(min_length=1)
    description: str = ""
    datasource: DataSource
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    field_config: FieldConfig = Field(alias="fieldConfig")
    place: Place = Field(alias="gridPos")

    @model_validator(mode="after")
    def _distinct(self) -> Panel:
        names = [target.ref_id for target in self.targets]
        if len(set(names)) != len(names):
            raise ValueError(f"panel '{self.title}': refIds {names} repeat")
        if self.place.x + self.place.w > _COLUMNS:
            raise ValueError(f"panel '{self.title}' stands out of the grid")
        return self


class Variable(_Strict):
    name: Literal["datasource"]
    label: str
    type: Literal["datasource"]
    query: Literal["prometheus"]


class Templating(_Strict):
    list: tuple[Variable]


class Span(_Strict):
    start: str = Field(alias="from")
    to: str


class Dashboard(_Strict):
    uid: str = Field(pattern=r"^persona-[a-z]+$")
    title: str = Field(pattern=r"^persona-ray: ")
    description: str = Field(min_length=1)
    tags: tuple[Literal["persona-ray"]]
    schema_version: Literal[39] = Field(alias="schemaVersion")
    version: int
    editable: bool
    time: Span
    refresh: str
    timezone: Literal["browser"]
    templating: Templating
    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fit(self) -> Dashboard:
        ids = [panel.id for panel in self.panels]
        if len(set(ids)) != len(ids):
            raise ValueError(f"panels' ids {ids} repeat")
        for one, other in combinations(self.panels, 2):
            if one.place.meets(other.place):
                raise ValueError(f"panels '{one.title}' and '{other.title}' overlap")
        return self

    @property
    def expressions(self) -> list[str]:
        return [target.expr for panel in self.panels for target in panel.targets]


def read_dashboard(path: Path) -> Dashboard:
    """Raises ValidationError."""
    return Dashboard.model_validate(json.loads(path.read_text(encoding="utf-8")))
