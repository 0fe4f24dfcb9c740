"""The emotion model's own page: lexicon, model and both, beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.evaluation.emotions import FITTED, FIXED, LEXICON, MODEL, WORDS, EmotionReport
from persona_ray.evaluation.report.drawing import DASHES, FIRST, MUTED, legend, svg
from persona_ray.evaluation.report.page import environment
from persona_ray.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_emotions(report: EmotionReport, path: Path) -> Path:
    """Write `path` (HTML) and beside it, as .json, the figures; gives `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path.with_suffix(".json"), report.model_dump_json(indent=1))
    write_whole(path, render_emotions(report))
    return path


def render_emotions(report: EmotionReport) -> str:
    """The page as HTML."""
    from markupsafe import Markup

    names = {
        LEXICON: "lexicon alone",
        MODEL: "model alone",
        WORDS: "model without sound",
        FIXED: f"both, {report.weight:g} and {1 - report.weight:g}",
        FITTED: f"both, fitted: {report.fitted:g} and {1 - report.fitted:g}",
    }
    return (
        environment()
        .get_template("emotions.html.j2")
        .render(report=report, names=names, plot=Markup(_curve_plot(report)))
    )


def _curve_plot(report: EmotionReport) -> str:
    """Cross entropy of the dev part over the lexicon's weight, as SVG."""

    def draw(figure: Figure) -> None:
        plot = figure.subplots()
        weights, losses = zip(*report.curve, strict=True)
        plot.plot(weights, losses, color=FIRST, label="cross entropy, dev part")
        plot.axvline(report.weight, color=MUTED, linestyle=DASHES, label="configured")
        plot.axvline(report.fitted, color=FIRST, linestyle=DASHES, label="fitted")
        plot.set_xlabel("weight of the lexicon")
        legend(plot, 3)

    return svg(draw, 5.3, 2.6, "weights", "Cross entropy by the weight of the lexicon")
