"""The category model: what a call is about, by what the caller has said so far."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.corpus.dialogues import so_far
from persona_ray.errors import BundleError
from persona_ray.inference.screening.records import CategoryJudgement, Speaker
from persona_ray.types import Modality

if TYPE_CHECKING:
    from persona_ray.inference.judge import Judge
    from persona_ray.inference.screening.records import Turn


class CategoryReader:
    """A loaded bundle that reads a caller's turns. Holds no state between calls."""

    def __init__(self, judge: Judge, name: str) -> None:
        """`name`: of the model and its version, as judgements tell it."""
        self._judge = judge
        self.name = name

    @classmethod
    def load(cls, bundle: Path, name: str = "", device: str = "cpu") -> CategoryReader:
        """Raises BundleError for a damaged bundle, or one that does not only read.

        `name` empty: `category` and the beginning of the bundle's digest.
        """
        from persona_ray.inference.judge import Judge
        from persona_ray.models.manifest import digest, read_contract

        modality = read_contract(bundle).modality
        if modality is not Modality.TEXT:
            raise BundleError(
                f"bundle {bundle} is of modality {modality}: a category model reads only; train "
                "one with `persona-ray screening train`"
            )
        judge = Judge.load(bundle, min_level_db=0.0, device=device)
        return cls(judge, name or f"category {digest(bundle)[:12]}")

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories that it knows."""
        return self._judge.labels

    def probabilities(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        """Of each category, for each of `texts` (the turns so far, a line each; any may be empty:
        then it says what it would of any call)."""
        from persona_ray.inference.judge import BATCH_TEXTS

        rows: list[Mapping[str, float]] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            vectors = self._judge.text_vectors(texts[start : start + BATCH_TEXTS])
            rows += [row.probabilities for row in self._judge.probabilities((), vectors)]
        return rows


class BundleCategories:
    """Seam `Categories`, by a bundle in this process; calls are answered in a thread."""

    def __init__(self, reader: CategoryReader) -> None:
        self._reader = reader

    @classmethod
    def load(cls, bundle: Path, name: str = "", device: str = "cpu") -> BundleCategories:
        """Raises BundleError."""
        return cls(CategoryReader.load(bundle, name, device))

    @property
    def name(self) -> str:
        return self._reader.name

    @property
    def labels(self) -> tuple[str, ...]:
        return self._reader.labels

    async def judge(self, turns: Sequence[Turn]) -> CategoryJudgement:
        """By the caller's turns alone: what the robot said tells nothing of the caller. Raises
        ValueError where the caller has said nothing."""
        said = [turn.text for turn in turns if turn.speaker is Speaker.CALLER]
        if not said:
            raise ValueError("a judgement needs a turn of the caller")
        (row,) = await asyncio.to_thread(self._reader.probabilities, [so_far(said)])
        return CategoryJudgement(probabilities=dict(row), turns=len(said), model=self._reader.name)
