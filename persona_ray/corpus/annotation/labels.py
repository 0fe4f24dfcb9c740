"""Which names of labels are accepted."""

from __future__ import annotations

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.errors import AnnotationError

# What Chinese annotators write; 色 may follow.
_CHINESE = {"红": "red", "蓝": "blue", "黄": "yellow", "绿": "green", "不确定": "uncertain"}


def valid_labels(config: AnnotationConfig) -> tuple[str, ...]:
    """The configured labels, then the uncertain one."""
    return (*config.labels, config.uncertain)


def parse_label(text: str, config: AnnotationConfig) -> str:
    """The configured label that `text` names: case does not count, Chinese colours are known.

    Raises AnnotationError for any other text, with the valid labels.
    """
    name = text.strip()
    by_name = {label.casefold(): label for label in valid_labels(config)}
    found = by_name.get(name.casefold())
    if found is None:
        found = by_name.get(_CHINESE.get(name.removesuffix("色"), "").casefold())
    if found is None:
        raise AnnotationError(f"label '{name}' is not one of {', '.join(valid_labels(config))}")
    return found
