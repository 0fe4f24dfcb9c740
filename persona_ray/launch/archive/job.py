"""The whole archive recognised: on Ray Data or in this process, call by call and by customer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from persona_ray.config import RunConfig
from persona_ray.corpus.archive import CallArchive
from persona_ray.corpus.finished import FinishedCalls
from persona_ray.corpus.forgotten import Forgotten
from persona_ray.corpus.known import known_calls
from persona_ray.corpus.later import tell_later
from persona_ray.corpus.pending import PendingCalls
from persona_ray.errors import ArchiveError
from persona_ray.launch.archive.folder import ResultsFolder, open_results
from persona_ray.launch.archive.results import publish, refill
from persona_ray.launch.archive.seen import KindOfDrift, Seen, outcome_counts
from persona_ray.launch.archive.summary import ArchiveSummary, summarise
from persona_ray.launch.archive.tables import ResultTables
from persona_ray.launch.archive.worker import (
    ArchiveFigures,
    ArchiveJob,
    ArchiveWorker,
    LoadRecognizer,
    load_recognizer,
    worker_of_its_own,
)
from persona_ray.launch.cluster import connected
from persona_ray.launch.evaluated import references
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.versions.identity import identify
from persona_ray.launch.versions.registry import resolve_bundle
from persona_ray.launch.watching import counted
from persona_ray.launch.workers.plain import torch_threads
from persona_ray.launch.workspace import check_workspace
from persona_ray.models.manifest import labelling, verify
from persona_ray.progress import Progress
from persona_ray.store import RecognitionModel, Store, open_store
from persona_ray.watch.catalogue import (
    ARCHIVE_CALLS,
    ARCHIVE_COVERAGE,
    ARCHIVE_CUSTOMERS,
    ARCHIVE_DRIFT,
)
from persona_ray.watch.jobs import JobWatch
from persona_ray.watch.process import watched

STAGE = "archive recognition"


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What one run did: `new_calls`, of which the corpus knew the sentences of `known_calls`.

    `note` says why it knew none, where it could not be used. `later` calls are left for the next
    run: their audio could not be had. `drift`: of what was seen in this run, as far as it is known.
    """

    new_calls: int = 0
    known_calls: int = 0
    audio_s: float = 0.0
    elapsed_s: float = 0.0
    note: str = ""
    later: int = 0
    drift: tuple[KindOfDrift, ...] = ()

    @property
    def calls_per_s(self) -> float:
        return self.new_calls / self.elapsed_s if self.new_calls else 0.0

    @property
    def audio_s_per_s(self) -> float:
        """Seconds of the customers' tracks per second."""
        return self.audio_s / self.elapsed_s if self.new_calls else 0.0


@dataclass(frozen=True, slots=True)
class RecognizedArchive:
    """`summary` is of everything in `folder`, `run` of this run alone."""

    folder: Path
    summary: ArchiveSummary
    run: RunFigures

    def to_dict(self) -> dict[str, Any]:
        rates = {"calls_per_s": self.run.calls_per_s, "audio_s_per_s": self.run.audio_s_per_s}
        figures = {name: round(value, 3) for name, value in rates.items()}
        return {
            "folder": str(self.folder),
            **self.summary.to_dict(),
            "run": {**asdict(self.run), **figures},
        }


def _needed(config: RunConfig) -> list[str]:
    """Parts of the workspace: a corpus may be large, and is not fetched for nothing."""
    settings = config.recognition
    bundle = [] if settings.bundle else ["bundle"]
    return [*bundle, "corpus"] if settings.reuse_corpus else bundle


@copied("recognitions", needs=_needed)
def recognize_archive(
    config: RunConfig,
    progress: Progress,
    *,
    fresh: bool = False,
    load: LoadRecognizer = load_recognizer,
) -> RecognizedArchive:
    """Give every call of the archive that the model has not recognised yet its colour, and every
    customer one over all calls.

    A run that was killed goes on where it was; a call is never recognised twice by one model, but
    by `fresh`, which forgets what that model said. `load` makes a recogniser where it is used.

    Raises BundleError and RegistryError, ArchiveError and its kin, CorpusError (other settings,
    another run at work, a damaged folder), StoreError, and what the speech recogniser needs.
    """
    check_workspace(config)
    bundle = resolve_bundle(config, config.recognition.bundle or config.bundle_dir).absolute()
    labels = labelling(verify(bundle), bundle).labels
    archive = CallArchive(config.archive, transcripts=config.asr.reuse_transcripts)
    total = archive.check()
    if total == 0:
        raise ArchiveError("archive.query gives no calls: there is nothing to recognise")
    model = identify(config, bundle)
    tables = ResultTables(labels, config.recognition.texts)
    with (
        open_store(config.store_url) as store,
        open_results(config, model.fingerprint, labels, fresh=fresh) as folder,
        counted(config, STAGE, progress) as watch,
    ):
        if fresh:
            store.recognitions.clear(model.fingerprint)
        known, note = None, ""
        if config.recognition.reuse_corpus:
            known, note = known_calls(config)
        job = ArchiveJob(config, bundle, tables, folder.staging, known, uuid.uuid4().hex, load)
        seen = Seen(model.fingerprint, references(config, model.fingerprint, bundle))
        run = _recognize(job, folder, archive, total, watch, note, seen)
        summary = _results(job, folder, store, model, watch)
        _tell(watch, summary, run)
    return RecognizedArchive(folder.path, summary, run)


def _recognize(
    job: ArchiveJob,
    folder: ResultsFolder,
    archive: CallArchive,
    total: int,
    progress: Progress,
    note: str,
    seen: Seen,
) -> RunFigures:
    finished = FinishedCalls(folder.path, folder.results.call_shards)
    forgotten = Forgotten.of(job.config)
    pending = PendingCalls(archive, folder.staging, finished, forgotten)
    if next(iter(pending), None) is None:
        return RunFigures(note=note)
    launch = job.config.launch
    done_by = _on_ray if launch.backend == "ray" else _in_this_process
    done = folder.staging.count() + folder.results.counts.get("calls", 0)
    calls, known, audio_s = 0, 0, 0.0
    later: list[str] = []
    with (
        watched(job.config.watching, STAGE),
        connected(launch),
        progress.stage("recognising calls", total) as stage,
    ):
        stage.advance(min(done, total))
        started = time.perf_counter()
        for call in done_by(job, pending):
            calls, known, audio_s = calls + call.calls, known + call.known, audio_s + call.audio_s
            if call.calls:
                seen.call(call.outcome, call.sentences)
            elapsed_s = max(time.perf_counter() - started, 1e-9)
            later += [call.later] if call.later else []
            stage.advance(1, calls_per_s=calls / elapsed_s, audio_s_per_s=audio_s / elapsed_s)
        elapsed_s = time.perf_counter() - started
    tell_later(later)
    took_s = round(elapsed_s, 3)
    return RunFigures(calls, known, round(audio_s, 3), took_s, note, len(later), seen.drift())


def _tell(watch: JobWatch, summary: ArchiveSummary, run: RunFigures) -> None:
    watch.record(ARCHIVE_COVERAGE, summary.coverage)
    for outcome, calls in outcome_counts(summary).items():
        watch.record(ARCHIVE_CALLS, calls, outcome=outcome)
    for colour, share in summary.colours.items():
        watch.record(ARCHIVE_CUSTOMERS, share.customers, colour=colour)
    for one in run.drift:
        watch.record(ARCHIVE_DRIFT, one.index, kind=one.kind, against=one.against)


def _on_ray(job: ArchiveJob, pending: PendingCalls) -> Iterator[ArchiveFigures]:
    from persona_ray.corpus.pipeline_ray import Pool, stream_calls

    settings = job.config.recognition
    pool = Pool(settings.workers, settings.gpus_per_worker)
    return stream_calls(pending, partial(worker_of_its_own, job), pool)


def _in_this_process(job: ArchiveJob, pending: PendingCalls) -> Iterator[ArchiveFigures]:
    with torch_threads(job.config.recognition.threads):
        worker = ArchiveWorker(job)
        for call in pending:
            yield worker.finish(call)


def _results(
    job: ArchiveJob,
    folder: ResultsFolder,
    store: Store,
    model: RecognitionModel,
    progress: Progress,
) -> ArchiveSummary:
    """What was staged goes to the store and to Parquet; the summary is of all there is."""
    results = folder.results
    staged = folder.staging.count()
    if results.generation and not store.recognitions.count_calls(model.fingerprint):
        refill(folder.path, results, store, model)
    if staged:
        per_shard = job.config.recognition.sentences_per_shard
        with progress.stage("results", staged) as stage:
            results = publish(folder, store, model, job.tables, per_shard, stage)
    else:
        folder.staging.remove()
    summary = summarise(folder.path, results, model.fingerprint, model.name, model.version)
    summary.write(folder.path)
    return summary
