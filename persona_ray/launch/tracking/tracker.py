"""What a training says to whoever keeps its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Tracker(Protocol):
    """Where a running training says how it goes. Calls return at once and never fail."""

    @property
    def run_id(self) -> str:
        """Of MLflow, once the block is over; empty where nothing is kept."""
        ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve. Steps rise, and each comes once: what a continued run tells a
        second time is left out."""
        ...

    def text(self, name: str, content: str) -> None:
        """Keep a text file (JSON, HTML, SVG) with the run."""
        ...

    def child(
        self, name: str, parameters: Mapping[str, str], points: Sequence[Mapping[str, float]]
    ) -> None:
        """A whole run below this one, `points` of its curves from step 1. Below a run that goes on,
        a child is not made a second time."""
        ...


class Untracked:
    """Where nothing is kept."""

    run_id = ""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing is kept."""

    def text(self, name: str, content: str) -> None:
        """Nothing is kept."""

    def child(
        self, name: str, parameters: Mapping[str, str], points: Sequence[Mapping[str, float]]
    ) -> None:
        """Nothing is kept."""


@dataclass(frozen=True, slots=True)
class Point:
    """Of each curve."""

    step: int
    at_ms: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Text:
    """A file."""

    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Child:
    """A whole run below the run."""

    name: str
    at_ms: int
    parameters: Mapping[str, str]
    points: Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""

    status: str


Item = Point | Text | Child
