"""The clips that pretraining learns from: labelled or not, but of no customer who is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.launch.labelled import label_and_split
from persona_ray.types import ClipInfo, Split

if TYPE_CHECKING:
    from persona_ray.corpus.dataset import CorpusDataset


@dataclass(frozen=True, slots=True)
class UnlabelledClips:
    """`held_out` clips of the dev and test splits are left aside. `note` says what somebody who
    trusts the result should know; it may be empty."""

    dataset: CorpusDataset
    infos: tuple[ClipInfo, ...]
    held_out: int
    note: str

    @property
    def audio_s(self) -> float:
        return sum(info.duration_s for info in self.infos)


def open_unlabelled(config: RunConfig) -> UnlabelledClips:
    """Splits are dealt as fine-tuning deals them, from the annotations in the store. Raises
    CorpusError without a corpus, AnnotationError for labels that are not configured."""
    from persona_ray.corpus.dataset import CorpusDataset

    dataset = CorpusDataset.open(config.corpus_dir)
    infos = tuple(dataset.infos())
    if not config.pretraining.hold_out:
        return UnlabelledClips(
            dataset, infos, 0, "dev and test customers are learned from (pretraining.hold_out)"
        )
    resolution, splits = label_and_split(config, infos)
    held_out = {name for name, split in splits.items() if split in (Split.DEV, Split.TEST)}
    kept = tuple(info for info in infos if info.clip_id not in held_out)
    note = ""
    if not resolution.labels:
        note = (
            "no clip has a label yet, so that no customer can be held out: all clips are learned "
            "from (persona-ray annotate import first, to keep dev and test unheard)"
        )
    return UnlabelledClips(dataset, kept, len(infos) - len(kept), note)
