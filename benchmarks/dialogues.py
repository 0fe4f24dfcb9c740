"""Labelled dialogues of a gzipped JSON-lines file (TeleAntiFraud): read, shuffled, held out."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from persona_ray.asr.text import normalise
from persona_ray.types import Example, Split

CHARACTERS_PER_S = 5.0


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`turns` in order, `opening` the caller's first, by which it is judged."""

    id: str
    category: str
    opening: str
    turns: tuple[str, ...]

    def example(self, split: Split) -> Example:
        return Example(
            clip_id=self.id,
            customer_id=self.id,
            label=self.category,
            split=split,
            text=self.opening,
            duration_s=len(self.opening) / CHARACTERS_PER_S,
        )


def dialogues(file: Path) -> list[Dialogue]:
    """In order of the hash of their ids."""
    found = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            both = chain.from_iterable(zip_longest(row["caller"], row["callee"], fillvalue=""))
            turns = tuple(turn for turn in both if turn)
            found.append(Dialogue(row["id"], row["category"], row["caller"][0], turns))
    return _shuffled(found, "")


def deal(
    found: Sequence[Dialogue], held_out: int, salt: str
) -> tuple[list[Dialogue], list[Dialogue]]:
    """So many held out, as many of each category; the others, in an order by `salt`, without those
    that open as one that is held out."""
    categories = len({dialogue.category for dialogue in found})
    tests = first_of_each(found, held_out // categories)
    ids = {dialogue.id for dialogue in tests}
    known = {normalise(dialogue.opening) for dialogue in tests}
    rest = [d for d in found if d.id not in ids and normalise(d.opening) not in known]
    return tests, _shuffled(rest, salt)


def first_of_each(found: Sequence[Dialogue], count: int) -> list[Dialogue]:
    by_category: dict[str, list[Dialogue]] = defaultdict(list)
    for dialogue in found:
        by_category[dialogue.category].append(dialogue)
    return [d for category in sorted(by_category) for d in by_category[category][:count]]


def _shuffled(found: Sequence[Dialogue], salt: str) -> list[Dialogue]:
    return sorted(found, key=lambda d: hashlib.sha256(f"{salt}\0{d.id}".encode()).digest())
