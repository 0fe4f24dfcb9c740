"""Two bundles on the same clips of customers whom neither has heard."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.errors import RegistryError
from persona_ray.launch.labelled import LabelledCorpus, open_labelled
from persona_ray.models.lineage import Lineage
from persona_ray.models.manifest import read_contract
from persona_ray.progress import Progress
from persona_ray.types import Example, Split

if TYPE_CHECKING:
    from persona_ray.evaluation.paired import Paired
    from persona_ray.evaluation.scores import Prediction


@dataclass(frozen=True, slots=True)
class BundleComparison:
    """`paired` compares `first` with `second` (names for people). `excluded` customers of the test
    split were heard by one of the two; `unjudged` clips at least one could not judge."""

    first: str
    second: str
    paired: Paired
    excluded: tuple[str, ...]
    unjudged: int

    @property
    def notes(self) -> list[str]:
        lines = [
            f"{self.paired.clips} clips of {self.paired.customers} customers of the test split"
        ]
        if self.excluded:
            shown = ", ".join(self.excluded[:5]) + ", ..." * (len(self.excluded) > 5)
            lines.append(
                f"left out: {len(self.excluded)} customers of the test split whom one of the two "
                f"has heard ({shown})"
            )
        if self.unjudged:
            lines.append(f"left out: {self.unjudged} clips that one of the two cannot judge")
        return lines


def compare_bundles(
    config: RunConfig, first: tuple[str, Path], second: tuple[str, Path], progress: Progress
) -> BundleComparison:
    """Let both bundles (a name, a folder) answer for the labelled clips of the test split.

    Raises RegistryError for bundles of other labels or too few held-out customers, BundleError for
    a bundle that is damaged or does not tell whom it heard, CorpusError without a corpus.
    """
    from persona_ray.evaluation.paired import MIN_CUSTOMERS, compare_paired

    labels = _labels(config, first, second)
    heard = [Lineage.read(path).customers() for _, path in (first, second)]
    data = open_labelled(config)
    test = data.of(Split.TEST)
    excluded = {e.customer_id for e in test if any(e.customer_id in h for h in heard)}
    held_out = [example for example in test if example.customer_id not in excluded]
    answers = [_answers(config, path, data, held_out, progress) for _, path in (first, second)]
    both = answers[0].keys() & answers[1].keys()
    customers = {answers[0][clip].customer_id for clip in both}
    if len(customers) < MIN_CUSTOMERS:
        why = f", {len(excluded)} others were heard by one of the two" if excluded else ""
        raise RegistryError(
            f"the test split has {len(customers)} customers with labelled clips that neither "
            f"{first[0]} nor {second[0]} has heard{why}: {MIN_CUSTOMERS} are needed to tell worse "
            "from chance; annotate more customers"
        )
    rows = [[predicted[clip] for clip in sorted(both)] for predicted in answers]
    paired = compare_paired(rows[0], rows[1], labels)
    return BundleComparison(
        first[0], second[0], paired, tuple(sorted(excluded)), len(held_out) - len(both)
    )


def _labels(config: RunConfig, *named: tuple[str, Path]) -> tuple[str, ...]:
    (name, labels), (other, others) = ((name, read_contract(path).labels) for name, path in named)
    if set(labels) != set(others):
        raise RegistryError(
            f"{name} tells {', '.join(labels)} and {other} {', '.join(others)}: bundles of other "
            "labels cannot be compared"
        )
    if strange := sorted(set(config.annotation.labels) - set(labels)):
        raise RegistryError(
            f"annotation.labels has {', '.join(strange)}, which {name} and {other} do not tell: "
            "compare them where their labels are"
        )
    return labels


def _answers(
    config: RunConfig,
    bundle: Path,
    data: LabelledCorpus,
    examples: Collection[Example],
    progress: Progress,
) -> dict[str, Prediction]:
    """By clip; without clips that the bundle cannot judge."""
    from persona_ray.evaluation.scores import Prediction
    from persona_ray.launch.predict import predict_clips

    by_clip = {example.clip_id: example for example in examples}
    recognised = predict_clips(config, data.dataset, progress, bundle, by_clip.keys())
    return {
        clip: Prediction(clip, by_clip[clip].customer_id, by_clip[clip].label, found.probabilities)
        for clip, found in recognised.items()
    }
