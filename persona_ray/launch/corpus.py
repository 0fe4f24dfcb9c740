"""The corpus stage as commands and jobs run it: with a cluster, and a note of its figures."""

from __future__ import annotations

from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.corpus import pipeline
from persona_ray.corpus.pipeline import CorpusSummary
from persona_ray.errors import CorpusError
from persona_ray.launch.cluster import connect
from persona_ray.launch.journal import journalled, read_journal
from persona_ray.launch.workspace import check_workspace
from persona_ray.progress import Progress

STAGE = "corpus build"


def build_corpus(config: RunConfig, progress: Progress, fresh: bool = False) -> CorpusSummary:
    """`persona_ray.corpus.pipeline.build_corpus` on the cluster of `config.launch`.

    A build that finds nothing new leaves the figures of the one before.
    """
    check_workspace(config)
    before = read_journal(config).get(STAGE, {})
    with journalled(config, STAGE) as figures:
        summary = pipeline.build_corpus(
            config, progress, cluster=connect(config.launch), fresh=fresh
        )
        if summary.new_calls:
            figures["audio_s"] = summary.audio_s
            figures["audio_s_per_s"] = round(summary.audio_s_per_s, 2)
            figures["calls"] = summary.new_calls
            figures["recognised"] = summary.recognised
        else:
            figures.update(before)
    return summary


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
