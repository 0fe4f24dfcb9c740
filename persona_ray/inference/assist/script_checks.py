"""What no type says of scripts: ids that stand twice, conditions that exclude one another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.conversation import Script

_GAP = re.compile(r"[{}【】]|\bTODO\b|待填")
COLOURS = ("red", "blue", "yellow", "green")


@dataclass(frozen=True, slots=True)
class Placed:
    """A script and where it stands: `file:line` or `file, row n`."""

    script: Script
    place: str


def mistakes_of(placed: Sequence[Placed], steps: Sequence[str]) -> Iterator[str]:
    """Each with its place."""
    ids: dict[str, str] = {}
    texts: dict[tuple[str, str], Script] = {}
    for one in placed:
        script = one.script
        if script.id in ids:
            yield f"{one.place}: the id '{script.id}' is also that of {ids[script.id]}"
        ids.setdefault(script.id, one.place)
        # The same words may be said of two products, or under conditions that differ.
        twin = texts.setdefault((script.product, script.text), script)
        if twin is not script and twin.conditions == script.conditions:
            yield f"{one.place}: '{script.id}' says under the same conditions what '{twin.id}' says"
        yield from (f"{one.place}: '{script.id}': {what}" for what in _wrong(script, steps))


def _wrong(script: Script, steps: Sequence[str]) -> Iterator[str]:
    when = script.conditions
    if (gap := _GAP.search(script.text)) is not None:
        yield f"a gap that nothing fills ('{gap.group()}'): write it out"
    for step in when.steps:
        if step not in steps:
            yield f"unknown step '{step}': assist.steps has {', '.join(steps)}"
    for colour in when.colours:
        if colour not in COLOURS:
            yield f"unknown colour '{colour}': there are {', '.join(COLOURS)}"
    both = sorted(set(when.emotions) & set(when.never))
    if both:
        yield f"it needs '{both[0]}' and is never said after it: take it out of one"
    for name in ("steps", "campaigns", "relations", "emotions", "never", "colours"):
        values = getattr(when, name)
        if len(set(values)) < len(values):
            yield f"{name} names one thing twice"
    if len(set(script.answers)) < len(script.answers):
        yield "one sentence stands twice among its answers"
