"""The shapes that dialogues have in JSON.

A dialogue is a list of turns; an object with that list under `turns`, `dialogue`, `messages`, ...;
an object with one list for each side (`caller` and `callee`), the first side speaking first; or an
object with a single text. A turn is a string, or an object with `text`, `content`, ...
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import cast

from persona_ray.asr.text import storable

# Of a dialogue, in order, without line breaks; never empty.
Turns = tuple[str, ...]

TURNS = (
    "turns",
    "dialogue",
    "dialog",
    "messages",
    "conversation",
    "conversations",
    "utterances",
    "sentences",
)
SIDES = (("caller", "callee"), ("agent", "customer"), ("left", "right"))
TEXTS = ("text", "content", "utterance", "sentence", "value")
MANY = ("dialogues", "data")


class UnusableError(Exception):
    """A line or dialogue that cannot be read; the reason is its text."""


def separate(tree: object) -> list[object]:
    """What a whole JSON file holds, as nodes for `dialogue_of`."""
    if isinstance(tree, dict):
        for key in MANY:
            if isinstance(tree.get(key), list):
                return cast(list[object], tree[key])
        return [tree]
    if isinstance(tree, list) and not all(_is_turn(node) for node in tree):
        return tree
    return [tree]


def _is_turn(node: object) -> bool:
    if not isinstance(node, dict):
        return isinstance(node, str)
    return any(key in node for key in TEXTS) and not any(key in node for key in TURNS)


def dialogue_of(node: object) -> Turns:
    """Raises UnusableError for other shapes and for dialogues without a word."""
    turns = tuple(turn for turn in map(one_line, _turns(node)) if turn)
    if not turns:
        raise UnusableError("no text")
    return turns


def _turns(node: object) -> Iterator[str]:
    if isinstance(node, str):
        return iter([node])
    if isinstance(node, list):
        return (text for turn in node if (text := _turn(turn)) is not None)
    if not isinstance(node, dict):
        raise UnusableError(f"a dialogue cannot be a {_kind(node)}")
    for key in TURNS:
        if isinstance(node.get(key), list):
            return _turns(node[key])
        if isinstance(node.get(key), str):
            return iter(node[key].splitlines())
    for first, second in SIDES:
        if isinstance(node.get(first), list) and isinstance(node.get(second), list):
            pairs = zip_longest(_turns(node[first]), _turns(node[second]), fillvalue="")
            return chain.from_iterable(pairs)
    for key in TEXTS:
        if isinstance(node.get(key), str):
            return iter([node[key]])
    sides = ", ".join(" with ".join(pair) for pair in SIDES)
    raise UnusableError(
        f"no turns under {_some(node)}: expected a list under one of {', '.join(TURNS)}, lists "
        f"under {sides}, or a text under one of {', '.join(TEXTS)}"
    )


def _turn(node: object) -> str | None:
    """Text of a turn; None for what nobody said (a language model's instructions)."""
    if isinstance(node, str):
        return node
    if isinstance(node, dict):
        if node.get("role") == "system":
            return None
        for key in TEXTS:
            if isinstance(node.get(key), str):
                return str(node[key])
        raise UnusableError(f"a turn has no text under {_some(node)}")
    raise UnusableError(f"a turn cannot be a {_kind(node)}")


def _some(node: dict[str, object]) -> str:
    names = sorted(node)
    return ", ".join(names[:6]) + ", ..." * (len(names) > 6) if names else "(no keys)"


def _kind(node: object) -> str:
    kinds = {dict: "object", list: "list", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(node), "null")


def one_line(text: str) -> str:
    """Without line breaks, doubled spaces and what cannot be stored."""
    return " ".join(storable(text).split())
