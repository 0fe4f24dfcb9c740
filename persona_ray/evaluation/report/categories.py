"""The category model's own page: scores turn by turn, beside n-grams with logistic regression."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.evaluation.categories import ALL, CategoryReport
from persona_ray.evaluation.report.drawing import DASHES, FIRST, MUTED, legend, svg
from persona_ray.evaluation.report.page import environment
from persona_ray.evaluation.report.render import palette
from persona_ray.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_categories(report: CategoryReport, path: Path) -> Path:
    """Write `path` (HTML) and beside it, as .json, the figures; gives `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path.with_suffix(".json"), report.model_dump_json(indent=1))
    write_whole(path, render_categories(report))
    return path


def render_categories(report: CategoryReport) -> str:
    """The page as HTML."""
    from markupsafe import Markup

    made = environment()
    made.globals.update(colour=palette(report.labels), all_turns=ALL)
    return made.get_template("categories.html.j2").render(
        report=report,
        whole=report.at(ALL),
        plot=Markup(turns_plot(report)),
    )


def turns_plot(report: CategoryReport) -> str:
    """Macro-F1 after each number of turns as SVG, with intervals."""
    rows = report.after
    names = ["all" if row.turns == ALL else str(row.turns) for row in rows]
    figures = [row.scores.macro_f1 for row in rows]

    def draw(figure: Figure) -> None:
        plot = figure.subplots()
        places = list(range(len(rows)))
        plot.plot(
            places, [f.value for f in figures], color=FIRST, marker="o", label="category model"
        )
        for place, estimate in zip(places, figures, strict=True):
            if estimate.interval is not None:
                plot.vlines(place, *estimate.interval, color=FIRST, linewidth=1.2)
        for plain in report.baselines:
            place = next(at for at, row in enumerate(rows) if row.turns == plain.turns)
            plot.plot(
                place,
                plain.scores.macro_f1.value,
                color=MUTED,
                marker="D",
                linestyle=DASHES,
                label="TF-IDF, logistic regression" if plain is report.baselines[0] else None,
            )
        plot.set_xticks(places, names)
        plot.set_xlabel("turns of the caller")
        plot.set_title("Macro-F1")
        legend(plot, 2)

    return svg(draw, 5.3, 2.9, "categories", "Macro-F1 by turns of the caller")
