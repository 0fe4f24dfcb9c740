"""The page of a screening demo: who called, what became of it, what its user was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_ray.evaluation.report.page import environment
from persona_ray.files import write_whole


@dataclass(frozen=True, slots=True)
class ScreenedRow:
    """One call. `turns` are pairs of speaker and text; `recording` is relative to the page, empty
    for none; `wrong` says what was expected instead, empty where all holds."""

    call_id: str
    about: str
    outcome: str
    standing: str
    category: str
    decided_s: float | None
    told: Sequence[str]
    turns: Sequence[tuple[str, str]]
    recording: str
    wrong: Sequence[str]


@dataclass(frozen=True, slots=True)
class ScreenedPage:
    """All calls of a demo; `notes` say what was left out or replaced."""

    rows: Sequence[ScreenedRow]
    models: dict[str, str]
    notes: Sequence[str]
    seconds: float


def write_screened(page: ScreenedPage, path: Path) -> Path:
    """Write `path` (HTML); gives `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render_screened(page))
    return path


def render_screened(page: ScreenedPage) -> str:
    """The page as HTML."""
    return environment().get_template("screened.html.j2").render(page=page)
