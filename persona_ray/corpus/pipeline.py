"""The corpus job: calls of the archive to a corpus folder, on Ray Data or in this process."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from persona_ray.asr.build import build_recognizer
from persona_ray.asr.lazy import BuildRecognizer
from persona_ray.config import RunConfig
from persona_ray.corpus.archive import CallArchive
from persona_ray.corpus.building import open_build
from persona_ray.corpus.compaction import compact
from persona_ray.corpus.finished import FinishedCalls
from persona_ray.corpus.forgotten import Forgotten
from persona_ray.corpus.later import tell_later
from persona_ray.corpus.manifest import Manifest
from persona_ray.corpus.pending import PendingCalls
from persona_ray.corpus.staging import Staging
from persona_ray.corpus.worker import CallFigures, CallWorker
from persona_ray.errors import ArchiveError
from persona_ray.progress import Progress, SilentProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSummary:
    """What a build found and did.

    `manifest` describes the whole corpus. `new_calls` were processed by this build, `recognised`
    of them by the recogniser (the others had a transcript or were set aside); they have `audio_s`
    of audio and took `elapsed_s`. `later` calls were left for the next build: their audio could not
    be had.
    """

    folder: Path
    manifest: Manifest
    new_calls: int
    recognised: int
    audio_s: float
    elapsed_s: float
    later: int = 0

    @property
    def audio_s_per_s(self) -> float:
        """Throughput: seconds of call audio per second; 0 where there was nothing to do."""
        return self.audio_s / self.elapsed_s if self.new_calls else 0.0

    def count(self, name: str) -> int:
        """One of the manifest's counts: calls, clips, calls_ok, calls_quarantined, ..."""
        return self.manifest.counts.get(name, 0)


def build_corpus(
    config: RunConfig,
    progress: Progress | None = None,
    *,
    cluster: AbstractContextManager[object] | None = None,
    fresh: bool = False,
    build: BuildRecognizer = build_recognizer,
) -> CorpusSummary:
    """Bring every call of the archive that is not in the corpus yet into it.

    `cluster` connects to Ray, and is entered only where there are calls to process and
    `config.launch.backend` is `ray`; without it Ray must run already. A build that was killed goes
    on where it was and ends with the same bytes. `fresh` removes the corpus that is there first.
    `build` makes a recogniser, in the process that uses it.

    Raises ArchiveError and its kin (no database, no calls, a failing query), CorpusError (other
    settings, another build at work, a damaged corpus) and what the recogniser needs.
    """
    progress = progress or SilentProgress()
    archive = CallArchive(config.archive, transcripts=config.asr.reuse_transcripts)
    total = archive.check()
    if total == 0:
        raise ArchiveError("archive.query gives no calls: nothing to build a corpus from")
    with open_build(config, fresh=fresh) as work:
        finished = FinishedCalls(work.folder, work.manifest.call_shards)
        forgotten = Forgotten.of(config)
        pending = PendingCalls(archive, work.staging, finished, forgotten)
        tally = _Tally()
        if next(iter(pending), None) is not None:
            done = work.staging.count() + work.manifest.counts.get("calls", 0)
            connected = cluster if config.launch.backend == "ray" else None
            with connected or nullcontext(), progress.stage("calls", total) as stage:
                stage.advance(min(done, total))
                tally.start()
                for call in _processed(config, work.staging, pending, build):
                    tally.add(call)
                    stage.advance(1, audio_s_per_s=tally.audio_s_per_s)
                tally.stop()
            tell_later(tally.later)
        manifest = work.manifest
        staged = work.staging.count()
        if staged or not manifest.generation:
            with progress.stage("shards", staged) as stage:
                manifest = compact(
                    work.folder, work.staging, manifest, config.corpus.clips_per_shard, stage
                )
        else:
            work.staging.remove()
    return CorpusSummary(
        folder=work.folder,
        manifest=manifest,
        new_calls=tally.calls,
        recognised=tally.recognised,
        audio_s=round(tally.audio_s, 3),
        elapsed_s=tally.elapsed_s,
        later=len(tally.later),
    )


class _Tally:
    """Counts and times of the calls of this build."""

    def __init__(self) -> None:
        self.calls = self.recognised = 0
        self.audio_s = self.elapsed_s = 0.0
        self.later: list[str] = []
        self._started = 0.0

    @property
    def audio_s_per_s(self) -> float:
        return self.audio_s / max(time.perf_counter() - self._started, 1e-9)

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        self.elapsed_s = time.perf_counter() - self._started

    def add(self, call: CallFigures) -> None:
        if call.later:
            self.later.append(call.later)
            return
        self.calls += 1
        self.recognised += call.recognised
        self.audio_s += call.audio_s


def _processed(
    config: RunConfig, staging: Staging, pending: PendingCalls, build: BuildRecognizer
) -> Iterator[CallFigures]:
    make = partial(CallWorker, config, staging, uuid.uuid4().hex, build)
    if config.launch.backend == "ray":
        from persona_ray.corpus.pipeline_ray import Pool, stream_calls

        pool = Pool(config.corpus.workers, config.corpus.gpus_per_worker)
        yield from stream_calls(pending, make, pool)
        return
    worker = make()
    for call in pending:
        yield worker.finish(call)
