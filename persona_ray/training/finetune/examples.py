"""Whether there is something to learn from."""

from __future__ import annotations

from collections.abc import Sequence

from persona_ray.errors import TrainingError
from persona_ray.types import Example


def check_examples(train: Sequence[Example], dev: Sequence[Example], labels: Sequence[str]) -> None:
    """Raise TrainingError where `labels` cannot be learned from `train`."""
    for example in (*train, *dev):
        if example.label not in labels:
            raise TrainingError(
                f"clip {example.clip_id} has the label '{example.label}', which the model does not "
                f"know ({', '.join(labels)}): add it to annotation.labels or relabel the clip"
            )
    found = {example.label for example in train}
    if len(found) < 2:
        raise TrainingError(
            f"the train split has {len(train)} labelled clips of {len(found)} label(s): training "
            "needs at least two labels; import annotations (`persona-ray annotate import`) or "
            "raise splits.train"
        )
