"""What all plots share: colours that are CSS variables of the page, and the way to SVG.

Text in plots is English and stays text, in the page's own font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that no plot draws by chance; each becomes a CSS variable when the SVG is written.
INK, MUTED, GRID = "#010203", "#010204", "#010205"
FIRST, SECOND, THIRD = "#010206", "#010207", "#010208"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    FIRST: "var(--plot-1)",
    SECOND: "var(--plot-2)",
    THIRD: "var(--plot-3)",
}
# Of lines that mark a place and are no data.
DASHES = (0, (3, 3))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.bottom": False,
    "ytick.left": False,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def legend(axes: Axes, columns: int) -> None:
    if not axes.get_legend_handles_labels()[0]:
        return
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.01, 1.0), ncols=columns, borderaxespad=0.2, fontsize=9
    )


def level(axes: Axes, value: float, name: str) -> None:
    """A dashed line across the plot, named at its right end."""
    axes.axhline(value, color=MUTED, linestyle=DASHES, linewidth=1)
    axes.annotate(
        name,
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        color=MUTED,
        fontsize=9,
    )


def svg(
    draw: Callable[[Figure], None], width_in: float, height_in: float, name: str, title: str
) -> str:
    """The drawing as an <svg> element that scales with its box; `name` keeps its ids apart."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _embed(buffer.getvalue(), name, title)


def _embed(document: str, name: str, title: str) -> str:
    text = document[document.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for ink, variable in _VARIABLES.items():
        text = text.replace(ink, variable)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--sans)", text)
    # Matplotlib numbers its groups alike in every figure; ids must be unique in a page.
    text = re.sub(r'<g id="([^"]+)"', rf'<g id="{name}-\1"', text)
    text = re.sub(r'^<svg ([^>]*?)width="[^"]*"', r"<svg \1", text)
    text = re.sub(r'^<svg ([^>]*?)height="[^"]*"', r"<svg \1", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" class="plot" ', 1)
