"""A trained category model becomes a version; champion where it is better than the champion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.corpus.dialogues import Dialogue
from persona_ray.evaluation.categories import ALL, predictions
from persona_ray.evaluation.paired import compare_paired
from persona_ray.evaluation.scores import Prediction
from persona_ray.launch.versions import succession
from persona_ray.launch.versions.succession import Comparison, unheard

if TYPE_CHECKING:
    from persona_ray.config.screening_policy import PolicyConfig
    from persona_ray.inference.screening.categories import CategoryReader

# What the difference is of, after the first turn and after all of them.
_DECIDES = "accuracy after one turn and after all, in the policy's categories"


def register(
    config: RunConfig, bundle: Path, test: Sequence[Dialogue], run_id: str, force: bool
) -> tuple[str, str]:
    """As `succession.register`, judged by the dialogues `test` that neither has learnt from."""

    def against(champion: Path) -> Comparison:
        return compare(config, champion, bundle, test)

    name = config.screening.category.name
    return succession.register(config, name, bundle, run_id, against, force)


def compare(
    config: RunConfig, champion: Path, bundle: Path, test: Sequence[Dialogue]
) -> Comparison:
    """The champion's bundle (first) and another on the dialogues of `test` that the champion has
    not learnt from; the other one has learnt from none of them.

    Raises RegistryError where too few are left, BundleError.
    """
    from persona_ray.inference.screening.categories import CategoryReader

    left = unheard(champion, test, lambda dialogue: dialogue.id, "held-out dialogues")
    readers = [CategoryReader.load(folder) for folder in (champion, bundle)]
    policy = config.screening.policy
    known = {name for reader in readers for name in reader.labels}
    labels = sorted({policy.name_of(name) for name in known | {d.category for d in left}})
    first, second = (_answers(reader, left, labels, policy) for reader in readers)
    return Comparison(compare_paired(first, second, labels), _DECIDES, "held-out dialogues")


def _answers(
    reader: CategoryReader, test: Sequence[Dialogue], labels: Sequence[str], policy: PolicyConfig
) -> list[Prediction]:
    from persona_ray.inference.screening.categories import in_policy

    names = {label: policy.name_of(label) for label in reader.labels}
    nothing = dict.fromkeys(labels, 0.0)
    return [
        Prediction(
            row.clip_id,
            row.customer_id,
            policy.name_of(row.label),
            nothing | in_policy(row.probabilities, names),
        )
        for turns in (1, ALL)
        for row in predictions(test, reader.probabilities, turns)
    ]
