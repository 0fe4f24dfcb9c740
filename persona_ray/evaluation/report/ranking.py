"""The ranker's own page: how far up a fitting script stands, beside plainer ways to rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.evaluation.report.page import environment
from persona_ray.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from persona_ray.evaluation.ranking import RankerReport


def write_ranking(report: RankerReport, path: Path) -> Path:
    """Write `path` (HTML) and beside it, as .json, the figures; gives `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path.with_suffix(".json"), report.model_dump_json(indent=1))
    write_whole(path, render_ranking(report))
    return path


def render_ranking(report: RankerReport) -> str:
    """The page as HTML."""
    return environment().get_template("ranking.html.j2").render(report=report)
