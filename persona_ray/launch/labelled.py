"""The corpus of a run with its labels and splits, checked for leakage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.types import ClipInfo, Example, Split

if TYPE_CHECKING:
    from persona_ray.corpus.annotation.resolve import Resolution
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.corpus.leakage import LeakageReport


@dataclass(frozen=True, slots=True)
class LabelledCorpus:
    """`examples` are the clips that have a label and a split and leak nothing; `dataset` has
    their audio."""

    dataset: CorpusDataset
    resolution: Resolution
    leakage: LeakageReport
    examples: tuple[Example, ...]

    @property
    def labels_fingerprint(self) -> str:
        """Changes with the label or split of any clip."""
        rows = sorted(f"{e.clip_id}\t{e.customer_id}\t{e.split}\t{e.label}" for e in self.examples)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def of(self, split: Split) -> tuple[Example, ...]:
        return tuple(example for example in self.examples if example.split == split)


def open_labelled(config: RunConfig) -> LabelledCorpus:
    """Raises CorpusError without a corpus, AnnotationError for labels that are not configured,
    LeakageError where a customer or a text stands in two splits."""
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.corpus.examples import labelled_examples
    from persona_ray.corpus.leakage import check_leakage

    dataset = CorpusDataset.open(config.corpus_dir)
    infos = list(dataset.infos())
    resolution, splits = label_and_split(config, infos)
    leakage = check_leakage(infos, splits, config.splits)
    examples = labelled_examples(infos, resolution.labels, leakage.clean)
    return LabelledCorpus(dataset, resolution, leakage, tuple(examples))


def label_and_split(
    config: RunConfig, infos: Sequence[ClipInfo]
) -> tuple[Resolution, dict[str, Split]]:
    """The clips' labels, from the annotations in the store, and by clip id their splits; customers
    who have none yet are dealt. Raises AnnotationError for labels that are not configured."""
    from persona_ray.corpus.annotation.resolve import resolve_labels
    from persona_ray.corpus.splits import assign_splits
    from persona_ray.store import open_store

    with open_store(config.store_url) as store:
        resolution = resolve_labels(store, infos, config.annotation)
        return resolution, assign_splits(store, infos, resolution.labels, config.splits)
