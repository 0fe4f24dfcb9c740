"""The corpus stage as commands and jobs run it: with a cluster, and a note of its figures."""

from __future__ import annotations

from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.corpus import pipeline
from persona_ray.corpus.manifest import Manifest
from persona_ray.corpus.pipeline import CorpusSummary
from persona_ray.corpus.records import DropReason
from persona_ray.errors import CorpusError
from persona_ray.launch.cluster import connect
from persona_ray.launch.journal import journalled, read_journal
from persona_ray.launch.reference import outcomes
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.watching import counted
from persona_ray.launch.workspace import check_workspace
from persona_ray.progress import Progress
from persona_ray.watch.catalogue import (
    CORPUS_CALLS,
    CORPUS_CLIP_SECONDS,
    CORPUS_CLIPS,
    CORPUS_DROPPED,
)
from persona_ray.watch.jobs import JobWatch

STAGE = "corpus build"


@copied("corpus")
def build_corpus(config: RunConfig, progress: Progress, fresh: bool = False) -> CorpusSummary:
    """`persona_ray.corpus.pipeline.build_corpus` on the cluster of `config.launch`.

    A build that finds nothing new leaves the figures of the one before.
    """
    check_workspace(config)
    before = read_journal(config).get(STAGE, {})
    with journalled(config, STAGE) as figures, counted(config, STAGE, progress) as job:
        summary = pipeline.build_corpus(config, job, cluster=connect(config.launch), fresh=fresh)
        _tell(job, summary.manifest)
        if summary.new_calls:
            figures["audio_s"] = summary.audio_s
            figures["audio_s_per_s"] = round(summary.audio_s_per_s, 2)
            figures["calls"] = summary.new_calls
            figures["recognised"] = summary.recognised
        else:
            figures.update(before)
    return summary


def _tell(job: JobWatch, manifest: Manifest) -> None:
    for outcome, calls in outcomes(manifest.counts).items():
        job.record(CORPUS_CALLS, calls, outcome=outcome)
    for reason in DropReason:
        dropped = manifest.counts.get(f"dropped_{reason}", 0)
        job.record(CORPUS_DROPPED, dropped, reason=reason.value)
    job.record(CORPUS_CLIPS, manifest.counts.get("clips", 0))
    job.record(CORPUS_CLIP_SECONDS, manifest.seconds.get("clips", 0.0))


def no_clips(folder: Path) -> str:
    """What somebody with an empty corpus is told."""
    return (
        f"no call gave a clip: {folder / 'quarantine.csv'} says why calls were set aside; mend it, "
        "then `persona-ray corpus build --fresh`"
    )


def check_clips(summary: CorpusSummary) -> None:
    """Raises CorpusError where a build left nothing to go on with."""
    if not summary.count("clips"):
        raise CorpusError(no_clips(summary.folder))
