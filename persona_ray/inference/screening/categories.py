"""The category model: what a call is about, by what the caller has said so far."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.corpus.dialogues import so_far
from persona_ray.errors import BundleError, ConfigError
from persona_ray.inference.screening.records import CategoryJudgement, Speaker
from persona_ray.types import Modality

if TYPE_CHECKING:
    from persona_ray.config.screening_policy import PolicyConfig
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


def policy_names(labels: Sequence[str], policy: PolicyConfig) -> dict[str, str]:
    """The policy's category for each of a model's. Raises ConfigError for one that it has not: what
    such a call is would never be acted on."""
    names = {label: policy.name_of(label) for label in labels}
    unknown = sorted(label for label, name in names.items() if name not in policy.categories)
    if unknown:
        raise ConfigError(
            f"the category model knows '{unknown[0]}', which is no category of the policy: add it "
            "to screening.policy.categories with a standing, or to screening.policy.aliases with "
            f"the category that it is (of {len(unknown)}: {', '.join(unknown)})"
        )
    return names


def in_policy(probabilities: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """Probabilities of the policy's categories: of those that are one to it, the sum."""
    found: dict[str, float] = {}
    for label, probability in probabilities.items():
        found[names[label]] = found.get(names[label], 0.0) + probability
    return found


class BundleCategories:
    """Seam `Categories`, by a bundle in this process; calls are answered in a thread, in the
    policy's categories."""

    def __init__(self, reader: CategoryReader, policy: PolicyConfig) -> None:
        """Raises ConfigError where the model knows a category that the policy has not."""
        self._reader = reader
        self._names = policy_names(reader.labels, policy)

    @classmethod
    def load(
        cls, bundle: Path, policy: PolicyConfig, name: str = "", device: str = "cpu"
    ) -> BundleCategories:
        """Raises BundleError, ConfigError."""
        return cls(CategoryReader.load(bundle, name, device), policy)

    @property
    def name(self) -> str:
        return self._reader.name

    async def judge(self, turns: Sequence[Turn]) -> CategoryJudgement:
        """By the caller's turns alone: what the robot said tells nothing of the caller. Raises
        ValueError where the caller has said nothing."""
        said = [turn.text for turn in turns if turn.speaker is Speaker.CALLER]
        if not said:
            raise ValueError("a judgement needs a turn of the caller")
        (row,) = await asyncio.to_thread(self._reader.probabilities, [so_far(said)])
        shares = in_policy(row, self._names)
        return CategoryJudgement(probabilities=shares, turns=len(said), model=self._reader.name)
