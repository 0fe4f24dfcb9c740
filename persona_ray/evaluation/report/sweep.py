"""A sweep's own page: its heat map and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_ray.evaluation.report.drawing import FIRST, GRID, INK, MUTED, svg
from persona_ray.evaluation.report.page import environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Beyond so many values of a key a map has no room for figures.
_CELLS = 12
# How strongly the worst and the best cell are coloured.
_FAINT, _FULL = 0.06, 0.75


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One combination. `values` by dotted key, ready to be shown; `spread` is empty for one run.
    `whole`: it was trained to its end."""

    values: Mapping[str, str]
    score: float
    spread: float | None
    figures: Mapping[str, float]
    runs: int
    epochs: float
    seconds: float
    whole: bool


@dataclass(frozen=True, slots=True)
class SweepPage:
    """`rows`, the best first. `across` and `down`: the keys of the map, with their values in order.
    `notes`: what a reader must know of the figures."""

    title: str
    metric: str
    smaller_is_better: bool
    rows: Sequence[SweepRow]
    axes: Mapping[str, Sequence[str]]
    notes: Sequence[str]


def heat_map(page: SweepPage) -> str:
    """Scores over the first two keys as SVG, of the best combination where others vary besides;
    empty where a key has too many values. A circle marks what the scheduler gave up."""
    axes = {key: values for key, values in page.axes.items() if len(values) > 1}
    drawn = list(axes.values())[:2]
    if not page.rows or not drawn or max(map(len, drawn)) > _CELLS:
        return ""
    (across, columns), (down, lines) = (*axes.items(), ("", ("",)))[:2]
    best: dict[tuple[str, str], SweepRow] = {}
    for row in page.rows:
        best.setdefault((row.values[across], row.values.get(down, "")), row)
    scores = [row.score for row in best.values() if row.whole] or [page.rows[0].score]
    low, high = min(scores), max(scores)

    def shade(score: float) -> float:
        share = 1.0 if high == low else (score - low) / (high - low)
        share = 1 - share if page.smaller_is_better and high > low else share
        return _FAINT + (_FULL - _FAINT) * min(1.0, max(0.0, share))

    def draw(figure: Figure) -> None:
        plot = figure.subplots()
        for (column, line), row in best.items():
            place = (columns.index(column), lines.index(line))
            _cell(plot, place, row, shade(row.score), row is page.rows[0])
        plot.set_xlim(-0.5, len(columns) - 0.5)
        plot.set_ylim(len(lines) - 0.5, -0.5)
        plot.set_xticks(range(len(columns)), columns)
        plot.set_yticks(range(len(lines)), lines)
        plot.set_xlabel(across)
        plot.set_ylabel(down)
        plot.grid(visible=False)
        plot.spines["bottom"].set_visible(False)
        plot.set_title(_title(page))

    height = 1.3 + 0.55 * len(lines)
    name = f"{page.metric} by {' and '.join(filter(None, (across, down)))}"
    return svg(draw, 5.3, height, "sweep", name)


def render_sweep(page: SweepPage) -> str:
    """The page as HTML."""
    from markupsafe import Markup

    template = environment().get_template("sweep.html.j2")
    return template.render(page=page, keys=list(page.axes), plot=Markup(heat_map(page)))


def _title(page: SweepPage) -> str:
    better = "lower" if page.smaller_is_better else "higher"
    runs = max(row.runs for row in page.rows)
    return f"{page.metric} on held-out clips, {better} is better" + (
        f" (mean of {runs}, deviation below)" if runs > 1 else ""
    )


def _cell(plot: Axes, place: tuple[int, int], row: SweepRow, shade: float, best: bool) -> None:
    from matplotlib.patches import Rectangle

    column, line = place
    box: dict[str, Any] = {"edgecolor": GRID, "linewidth": 0.8}
    corner = (column - 0.5, line - 0.5)
    plot.add_patch(Rectangle(corner, 1, 1, facecolor=FIRST, alpha=shade if row.whole else 0.0))
    plot.add_patch(Rectangle(corner, 1, 1, facecolor="none", **box))
    if best:
        inner = (column - 0.46, line - 0.46)
        plot.add_patch(Rectangle(inner, 0.92, 0.92, facecolor="none", edgecolor=INK, linewidth=1.6))
    text = f"{row.score:.3f}" if row.whole else f"○ {row.score:.3f}"
    lift = 0.0 if row.spread is None else -0.14
    ink = INK if row.whole else MUTED
    style: dict[str, Any] = {"ha": "center", "va": "center"}
    plot.text(column, line + lift, text, color=ink, fontsize=9, **style)
    if row.spread is not None:
        plot.text(column, line + 0.22, f"± {row.spread:.3f}", color=ink, fontsize=7, **style)
