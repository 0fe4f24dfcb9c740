"""What customers say: topics, moods, and a sentence made of both.

Every list of templates is parted for training and tests as those of the dialogues are: the two have
no template in common.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

from persona_ray.conversation import Emotion, Relation
from persona_ray.synth.dialogues.scenes import Part, fill, of_part

_MARK = re.compile(r"<([^<>]*)>")
_CLAUSE_FIRST = 0.5


@dataclass(frozen=True, slots=True)
class Topic:
    """What a customer may speak of. `steps`: of a call, where it comes up; `products`: what is said
    of one product only, beside what is said of all."""

    name: str
    relation: Relation
    steps: tuple[str, ...]
    general: tuple[str, ...]
    products: Mapping[str, tuple[str, ...]]

    def wordings(self, product: str) -> tuple[str, ...]:
        return (*self.products.get(product, ()), *self.general)


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A clause that means what its tone says: one of `moods`."""

    text: str
    moods: tuple[Emotion, ...]


@dataclass(frozen=True, slots=True)
class Wording:
    """All texts of one part."""

    products: Mapping[str, Mapping[str, Sequence[str]]]
    topics: Mapping[str, Topic]
    explicit: Mapping[Emotion, tuple[str, ...]]
    ambiguous: tuple[Ambiguous, ...]
    leads: tuple[str, ...]
    changes: tuple[str, ...]
    repeats: tuple[str, ...]
    openings: tuple[str, ...]
    asks: tuple[str, ...]

    def meaning(self, emotion: Emotion) -> tuple[Ambiguous, ...]:
        """Those that may mean `emotion`."""
        return tuple(one for one in self.ambiguous if emotion in one.moods)


@dataclass(frozen=True, slots=True)
class Marked:
    """A text and where in it (start, end) words carry a mood."""

    text: str
    marks: tuple[tuple[int, int], ...]


def _read(name: str) -> dict[str, Any]:
    source = resources.files("persona_ray.synth.assist").joinpath("texts", f"{name}.yaml")
    loaded: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    return loaded


@cache
def load_wording(part: Part) -> Wording:
    """The packaged texts of `part`."""
    told, moods = _read("topics"), _read("moods")
    unclear = {one["text"]: tuple(map(Emotion, one["moods"])) for one in moods["ambiguous"]}
    return Wording(
        products=told["products"],
        topics={
            name: Topic(
                name=name,
                relation=Relation(topic["relation"]),
                steps=tuple(topic["steps"]),
                general=of_part(topic["general"], part),
                products={
                    product: of_part(texts, part)
                    for product, texts in topic.get("products", {}).items()
                },
            )
            for name, topic in told["topics"].items()
        },
        explicit={Emotion(mood): of_part(texts, part) for mood, texts in moods["explicit"].items()},
        ambiguous=tuple(Ambiguous(text, unclear[text]) for text in of_part(list(unclear), part)),
        leads=tuple(moods["leads"]),
        changes=tuple(moods["changes"]),
        repeats=tuple(moods["repeats"]),
        openings=tuple(moods["agent"]["opening"]),
        asks=tuple(moods["agent"]["asks"]),
    )


def sentence(
    rng: np.random.Generator, wording: Wording, product: str, parts: tuple[str, str, str]
) -> Marked:
    """Of a lead, what is spoken of and a clause of mood (empty: none), all templates."""
    lead, core, clause = parts
    # The mood may stand before a question, never between a lead and what it leads to.
    texts = [lead + core, clause]
    if clause and (not lead or lead in wording.leads) and rng.random() < _CLAUSE_FIRST:
        texts = [lead + clause, core]
    filled = fill(rng, "".join(texts), wording.products[product], {})
    return unmark(filled)


def spoken(rng: np.random.Generator, wording: Wording, product: str, template: str) -> str:
    """An agent's sentence."""
    return fill(rng, template, wording.products[product], {})


def unmark(text: str) -> Marked:
    """`text` without its `<...>`, and where they stood."""
    marks: list[tuple[int, int]] = []
    for found in _MARK.finditer(text):
        start = found.start() - 2 * len(marks)
        marks.append((start, start + len(found.group(1))))
    return Marked(_MARK.sub(r"\1", text), tuple(marks))
