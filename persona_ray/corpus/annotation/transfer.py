"""Annotation files into the store, and clips out to annotators."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.csv_format import read_csv, write_csv
from persona_ray.corpus.annotation.label_studio import read_label_studio
from persona_ray.corpus.annotation.label_studio_export import (
    LOCAL_FILES,
    Exported,
    write_label_studio,
)
from persona_ray.corpus.annotation.matching import ClipIndex
from persona_ray.errors import AnnotationError
from persona_ray.progress import Progress, SilentProgress
from persona_ray.store import Annotation, SaveCounts, Store
from persona_ray.types import Clip, ClipInfo, Recognition


class AnnotationFormat(StrEnum):
    """What annotators' tools read and write."""

    CSV = "csv"
    LABEL_STUDIO = "label-studio"


class ClipSource(Protocol):
    """A corpus: what `CorpusDataset` offers."""

    def infos(self) -> Iterator[ClipInfo]: ...

    def clips(self, clip_ids: Collection[str] | None = None) -> Iterator[Clip]: ...


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    `unmatched` annotations are in the store but belong to no clip of the corpus; `blank` rows hold
    no label; `cancelled` ones were skipped in Label Studio; `skipped` are errors passed over.
    """

    path: Path
    saved: SaveCounts
    unmatched: tuple[Annotation, ...]
    blank: int
    cancelled: int
    skipped: tuple[str, ...]

    def describe(self) -> list[str]:
        """Lines for people."""
        counts = self.saved
        lines = [
            f"{self.path}: {counts.added} annotations added, {counts.updated} updated, "
            f"{counts.unchanged} unchanged; {self.blank} without a label, "
            f"{self.cancelled} skipped by annotators"
        ]
        if self.unmatched:
            first = ", ".join(item.target for item in self.unmatched[:5])
            lines.append(f"{len(self.unmatched)} belong to no clip of the corpus, e.g. {first}")
        lines += [f"left out: {message}" for message in self.skipped]
        return lines


def import_annotations(
    store: Store,
    path: Path,
    infos: Iterable[ClipInfo],
    config: AnnotationConfig,
    file_format: AnnotationFormat | None = None,
    annotator: str = "",
    skip_errors: bool = False,
) -> ImportReport:
    """Read a file into the store; importing it again changes nothing.

    The format is told by the suffix unless given. `annotator` stands for CSV rows without one.
    Raises AnnotationError that lists the errors of the file, and then nothing is imported, unless
    `skip_errors` passes over them.
    """
    if (file_format or _format_of(path)) is AnnotationFormat.CSV:
        parsed = read_csv(path, config, annotator)
    else:
        parsed = read_label_studio(path, config)
    if not skip_errors:
        parsed.problems.refuse()
    index = ClipIndex(infos)
    complete = [index.complete(item) for item in parsed.annotations]
    saved = store.annotations.save(complete)
    unmatched = [item for item in complete if index.match(item, config.min_overlap) is None]
    return ImportReport(
        path,
        saved,
        tuple(unmatched),
        parsed.blank,
        parsed.cancelled,
        tuple(parsed.problems.messages),
    )


def export_csv(path: Path, corpus: ClipSource, store: Store, config: AnnotationConfig) -> int:
    """Write all clips with their annotations as CSV; the number of rows."""
    return write_csv(path, corpus.infos(), _annotations(corpus, store, config))


def export_label_studio(
    folder: Path,
    corpus: ClipSource,
    store: Store,
    config: AnnotationConfig,
    predictions: Mapping[str, Recognition] | None = None,
    clip_ids: Collection[str] | None = None,
    audio_prefix: str = LOCAL_FILES,
    progress: Progress | None = None,
) -> Exported:
    """Write a folder for Label Studio with all clips, or those of `clip_ids`, and annotations."""
    annotations = _annotations(corpus, store, config)
    total = None if clip_ids is None else len(clip_ids)
    with (progress or SilentProgress()).stage("clips for annotators", total) as stage:

        def clips() -> Iterator[Clip]:
            for clip in corpus.clips(clip_ids):
                yield clip
                stage.advance()

        return write_label_studio(
            folder, clips(), annotations, predictions or {}, config, audio_prefix
        )


def _annotations(
    corpus: ClipSource, store: Store, config: AnnotationConfig
) -> Mapping[str, Mapping[str, Annotation]]:
    index = ClipIndex(corpus.infos())
    return index.match_all(store.annotations.all(), config.min_overlap).by_clip


def _format_of(path: Path) -> AnnotationFormat:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return AnnotationFormat.CSV
    if suffix == ".json":
        return AnnotationFormat.LABEL_STUDIO
    raise AnnotationError(
        f"{path} is neither .csv nor .json: say which format it has ({', '.join(AnnotationFormat)})"
    )
