"""YAML whose places know their lines, so that an editor of a file is told where a mistake is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from persona_ray.errors import ConfigError

Place = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Marked:
    """`tree` is what the file says; `lines` says where each place of it stands, from 1."""

    file: str
    tree: Any
    lines: Mapping[Place, int]

    def at(self, place: Place) -> str:
        """`file:line` of a place, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.file}:{self.lines.get(place, 1)}"


def read_marked(text: str, file: str) -> Marked:
    """`text` of YAML, `file` its name. Raises ConfigError where it is none, or a key is there
    twice, of which YAML would silently keep the last."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark is not None else file
        raise ConfigError(f"{where}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    lines = {} if node is None else dict(_places(node, (), file))
    return Marked(file, tree, lines)


def _places(node: yaml.Node, place: Place, file: str) -> Iterator[tuple[Place, int]]:
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _places(item, (*place, number), file)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if name in seen:
                raise ConfigError(
                    f"{file}:{line}: '{name}' stands here and in line {seen[name]}: keep one"
                )
            seen[name] = line
            # A value of a key begins where its key stands: that is what people look for.
            for inner, inner_line in _places(value, (*place, name), file):
                yield inner, line if inner == (*place, name) else inner_line
