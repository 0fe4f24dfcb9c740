"""The texts of dialogues, and how a template becomes a sentence.

A template holds choices and slots: `[今天|明天|]` is one of its parts, `{bank}` a word of the slot.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

_FILES = ("fraud", "sales", "everyday")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_TESTED_SHARE = 0.3


class Part(StrEnum):
    """Which templates are drawn from. Those of TRAIN and TEST are apart: a model that knows all of
    TRAIN has not seen one sentence of TEST in other words of the same slots."""

    ALL = "all"
    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Scene:
    """One way that a call of a category goes. `fronts` are first turns that could begin many
    scenes; `steps` are what comes after `openings`, in order. All are templates."""

    category: str
    name: str
    fronts: tuple[str, ...]
    openings: tuple[str, ...]
    steps: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class SceneTexts:
    """All of it. `callee` has lines by the temper of who answers: `first`, and `later` ones."""

    scenes: tuple[Scene, ...]
    slots: Mapping[str, Sequence[str]]
    leads: Sequence[str]
    tails: Sequence[str]
    callee: Mapping[str, Mapping[str, Sequence[str]]]

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(scene.category for scene in self.scenes))


def _read(name: str) -> dict[str, Any]:
    source = resources.files("persona_ray.synth.dialogues").joinpath("texts", f"{name}.yaml")
    loaded: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    return loaded


@lru_cache(maxsize=1)
def load_scenes() -> SceneTexts:
    """The packaged texts."""
    common = _read("common")
    scenes = tuple(
        Scene(
            category=category,
            name=name,
            fronts=tuple(common["fronts"][scene["front"]]),
            openings=tuple(scene["open"]),
            steps=tuple(tuple(step) for step in scene["steps"]),
        )
        for file in _FILES
        for category, named in _read(file).items()
        for name, scene in named.items()
    )
    return SceneTexts(scenes, common["slots"], common["leads"], common["tails"], common["callee"])


def of_part(templates: Sequence[str], part: Part) -> tuple[str, ...]:
    """Those of `part`: of each list three in ten are for tests, at least one, chosen by hash, so
    that a template stays where it is when others come."""
    if part is Part.ALL:
        return tuple(templates)
    ranked = sorted(templates, key=lambda text: hashlib.sha256(text.encode()).digest())
    tested = set(ranked[: max(1, round(_TESTED_SHARE * len(ranked)))])
    return tuple(text for text in templates if (text in tested) == (part is Part.TEST))


def fill(
    rng: np.random.Generator,
    template: str,
    slots: Mapping[str, Sequence[str]],
    said: dict[str, str],
) -> str:
    """A sentence of `template`. `said` holds the words of slots that a dialogue has used: a bank
    stays the same bank."""

    def choose(match: re.Match[str]) -> str:
        return str(rng.choice(match.group(1).split("|")))

    def word(match: re.Match[str]) -> str:
        slot = match.group(1)
        if slot not in said:
            said[slot] = str(rng.choice(slots[slot]))
        return said[slot]

    # A choice may turn a statement into a question.
    return _SLOT.sub(word, _CHOICE.sub(choose, template)).replace("吗。", "吗？")
