"""Annotation files into the workspace's store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.progress import Progress

if TYPE_CHECKING:
    from persona_ray.corpus.annotation.transfer import ImportReport


def import_annotations(
    config: RunConfig,
    files: Sequence[Path],
    progress: Progress,
    annotator: str = "",
    skip_errors: bool = False,
) -> list[ImportReport]:
    """Import each of `files`; a file imported before changes nothing. Raises AnnotationError."""
    from persona_ray.corpus.annotation import transfer
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.store import open_store

    dataset = CorpusDataset.open(config.corpus_dir)
    reports = []
    with (
        open_store(config.store_url) as store,
        progress.stage("importing annotations", total=len(files)) as stage,
    ):
        for path in files:
            report = transfer.import_annotations(
                store,
                path,
                dataset.infos(),
                config.annotation,
                annotator=annotator,
                skip_errors=skip_errors,
            )
            reports.append(report)
            stage.advance(1, added=report.saved.added)
    return reports
