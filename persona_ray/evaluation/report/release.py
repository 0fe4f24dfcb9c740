"""The page of a retraining: what the new ranker would have earned, and whether it answers now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.evaluation.report.page import environment
from persona_ray.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from persona_ray.evaluation.release import ReleaseReport


def write_release(report: ReleaseReport, path: Path) -> Path:
    """Write `path` (HTML) and beside it, as .json, the figures; gives `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path.with_suffix(".json"), report.model_dump_json(indent=1))
    write_whole(path, environment().get_template("release.html.j2").render(report=report))
    return path
