"""A plot of the report as a file of its own."""

from __future__ import annotations

import re
from importlib.resources import files


def standalone(plot: str) -> str:
    """An <svg> element of the report as a document: with the page's colours and font, light and
    dark, and its background."""
    css = files("persona_ray.evaluation.report").joinpath("templates/report.css").read_text("utf-8")
    light = re.search(r"^:root \{.*?\}", css, flags=re.DOTALL | re.MULTILINE)
    dark = re.search(r"^@media \(prefers-color-scheme: dark\) \{.*?\}\s*\}", css, re.DOTALL | re.M)
    if light is None or dark is None:
        raise ValueError("report.css no longer begins with its colours")
    style = f"{light[0]} {dark[0]} svg {{ background: var(--surface); }}"
    start, end = plot.index("<svg"), plot.index(">") + 1
    opening = plot[start:end]
    if "xmlns=" not in opening:
        opening = opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{opening}<style>{style}</style>{plot[end:]}\n"
