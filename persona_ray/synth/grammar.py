"""Sentences composed of clauses and slots, from the texts in `texts/*.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

from persona_ray.errors import ConfigError

COLOURS: tuple[str, ...] = ("red", "blue", "yellow", "green")
NEUTRAL = "neutral"
STAGES: tuple[str, ...] = ("open", "react", "ask", "concern", "close")

_OPENER_CHANCE = 0.5
_TAIL_CHANCE = 0.55
_FIT_THRESHOLD = 0.5
_NEUTRAL_ODDS = 4.0  # a neutral sentence says nothing of a colour, or anything
_COHERENCE = 4.0  # how strongly an opener or tail follows the tone of the core clause
_NOT_TEXT = re.compile(r"[^\w]")


@dataclass(frozen=True, slots=True)
class ClauseKind:
    """Clauses that mean the same. `fits` follow COLOURS, 0..1; all zero is a neutral kind."""

    name: str
    fits: tuple[float, ...]
    stages: tuple[str, ...]
    texts: tuple[str, ...]
    asks: bool
    mood: str

    @property
    def neutral(self) -> bool:
        return not any(self.fits)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a customer. `leaning` is the colour it was drawn for, or `neutral`."""

    text: str
    leaning: str
    fits: tuple[str, ...]
    skeleton: str


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of the generator."""

    scenes: Mapping[str, Mapping[str, Any]]
    common: Mapping[str, Sequence[str]]
    openers: tuple[ClauseKind, ...]
    cores: tuple[ClauseKind, ...]
    tails: tuple[ClauseKind, ...]
    fillers: tuple[str, ...]
    agents: Mapping[str, Any]
    people: Mapping[str, Any]


def characters(text: str) -> str:
    """`text` without punctuation and blanks: what counts as its length and identity."""
    return _NOT_TEXT.sub("", text)


def _read(name: str) -> dict[str, Any]:
    source = resources.files("persona_ray.synth").joinpath("texts", f"{name}.yaml")
    loaded: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    return loaded


def _kinds(table: Mapping[str, Mapping[str, Any]]) -> tuple[ClauseKind, ...]:
    return tuple(
        ClauseKind(
            name=name,
            fits=tuple(float(fit) for fit in kind["fits"]),
            stages=tuple(kind.get("stage", ())),
            texts=tuple(kind["texts"]),
            asks=bool(kind.get("ask", False)),
            mood=str(kind.get("mood", "")),
        )
        for name, kind in table.items()
    )


@lru_cache(maxsize=1)
def load_texts() -> Texts:
    """The packaged texts."""
    clauses, scenes = _read("clauses"), _read("scenes")
    return Texts(
        scenes=scenes["scenes"],
        common=scenes["common"],
        openers=_kinds(clauses["openers"]),
        cores=_kinds(clauses["cores"]),
        tails=_kinds(clauses["tails"]),
        fillers=tuple(clauses["fillers"]),
        agents=_read("agents"),
        people=_read("people"),
    )


def _alike(kind: ClauseKind, other: ClauseKind) -> float:
    """Cosine of two kinds' fits; 0.5 beside a neutral kind, which suits any tone."""
    if kind.neutral or other.neutral:
        return 0.5
    a, b = np.array(kind.fits), np.array(other.fits)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def _clash(kind: ClauseKind, other: ClauseKind) -> bool:
    return {kind.mood, other.mood} == {"up", "down"}


class Composer:
    """Draws sentences, never the same skeleton (clauses before slots are filled) twice.

    `strength` is `Strengths.text`; `length` the fewest and most characters of a sentence.
    """

    def __init__(self, texts: Texts, strength: float, length: tuple[int, int]) -> None:
        self._texts = texts
        self._strength = strength
        self._length = length
        self._used: set[str] = set()

    def compose(self, rng: np.random.Generator, scene: str, stage: str, leaning: str) -> Sentence:
        """A sentence never drawn before, for `stage` of a call about `scene`.

        Raises ConfigError where the texts have no more of them.
        """
        for _ in range(2000):
            sentence = self._draw(rng, scene, stage, leaning)
            size = len(characters(sentence.text))
            keys = {sentence.skeleton, characters(sentence.text)}
            if self._length[0] <= size <= self._length[1] and not keys & self._used:
                self._used |= keys
                return sentence
        low, high = self._length
        raise ConfigError(
            f"no unused sentence of {low} to {high} characters is left for the scene {scene}, "
            f"stage {stage}: lower customers_per_colour or calls_per_customer, or widen "
            "sentence_characters"
        )

    def _draw(self, rng: np.random.Generator, scene: str, stage: str, leaning: str) -> Sentence:
        cores = [kind for kind in self._texts.cores if stage in kind.stages]
        chosen = [(core := self._pick(rng, cores, leaning))]
        opener = tail = ""
        if rng.random() < _OPENER_CHANCE:
            kind = self._pick(rng, self._texts.openers, leaning, core)
            opener = str(rng.choice(kind.texts))
            chosen.insert(0, kind)
        template = str(rng.choice(core.texts))
        asks = core.asks or template.endswith("吗")
        if rng.random() < _TAIL_CHANCE:
            kind = self._pick(rng, self._texts.tails, leaning, core)
            tail = str(rng.choice(kind.texts))
            chosen.append(kind)
            if _clash(chosen[0], kind):
                tail = ""
                chosen.pop()
        middle = self._fill(rng, scene, template) + ("？" if asks else "，" if tail else "。")
        text = (opener + "，" if opener else "") + middle + (tail + "。" if tail else "")
        fits = np.mean([kind.fits for kind in chosen], axis=0)
        return Sentence(
            text=text,
            leaning=leaning,
            fits=tuple(c for c, fit in zip(COLOURS, fits, strict=True) if fit >= _FIT_THRESHOLD),
            skeleton=f"{opener}|{template}|{tail}",
        )

    def _pick(
        self,
        rng: np.random.Generator,
        kinds: Sequence[ClauseKind],
        leaning: str,
        beside: ClauseKind | None = None,
    ) -> ClauseKind:
        """A kind for `leaning`; openers and tails also suit the tone of the core `beside` them."""
        if leaning == NEUTRAL:
            weights = np.array([_NEUTRAL_ODDS if kind.neutral else 1.0 for kind in kinds])
        else:
            column = COLOURS.index(leaning)
            weights = np.exp([self._strength * kind.fits[column] for kind in kinds])
        if beside is not None and not beside.neutral:
            weights = weights * np.exp([_COHERENCE * _alike(kind, beside) for kind in kinds])
            weights = weights * [not _clash(kind, beside) for kind in kinds]
        return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]

    def _fill(self, rng: np.random.Generator, scene: str, template: str) -> str:
        words = {**self._texts.common, **self._texts.scenes[scene]}

        def slot(match: re.Match[str]) -> str:
            return str(rng.choice(words[match.group(1)]))

        return re.sub(r"\{(\w+)\}", slot, template)
