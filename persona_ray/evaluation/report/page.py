"""What the HTML pages of this room share: their templates, style and words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.evaluation.report import words

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """Where the templates are read. Texts are escaped: transcripts are what strangers said."""
    import jinja2
    from markupsafe import Markup

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        percent=words.percent,
        number=words.number,
        duration=words.duration,
        clock=words.clock,
        interval=words.interval,
        signed=words.signed,
        span=words.span,
    )
    made.globals["css"] = Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return made
