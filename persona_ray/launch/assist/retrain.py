"""Feedback -> a new ranker, judged by customers held out, released where it does better."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError, TrainingError
from persona_ray.evaluation.release import ReleaseReport
from persona_ray.files import locked
from persona_ray.inference.assist.ranking import TowerRanker
from persona_ray.inference.assist.shelf import LibraryShelf
from persona_ray.launch.assist.asked import pairs_of
from persona_ray.launch.assist.feedback_data import (
    judged_pushes,
    learned_turns,
    person_of,
    samples_fingerprint,
    split_of_person,
)
from persona_ray.launch.assist.judging import judged_turns
from persona_ray.launch.assist.ranker import Samples, learn, mood_reader, read_samples, write
from persona_ray.launch.assist.release import Champion, champion_of, judge, release
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.tracking.runs import check_tracking, tracked
from persona_ray.launch.versions.registry import Registry
from persona_ray.launch.watching import counted
from persona_ray.progress import Progress
from persona_ray.store import Store, open_store
from persona_ray.store.assist.records import Retraining, RetrainingRunsError, Sample
from persona_ray.types import Split

if TYPE_CHECKING:
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.training.ranker import RankerEpoch

STAGE = "ranker retraining"
# In the workspace.
FOLDER, BUNDLE, REPORT, LOCK = "ranker/retraining", "bundle", "report.html", "lock"
_RUNNING = "running"


@dataclass(frozen=True, slots=True)
class NotDue:
    """Nothing was done."""

    why: str

    def __str__(self) -> str:
        return f"not due: {self.why}"


@dataclass(frozen=True, slots=True)
class Retrained:
    """`version` is the new ranker's address in the registry, champion where it was released."""

    retraining_id: str
    version: str
    report: ReleaseReport
    report_path: Path

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.report.learned.items())
        verdict = "released" if self.report.released else "not released"
        return (
            f"learnt from: {counts}\n{self.version} {verdict}: {self.report.why}\n"
            f"report: {self.report_path}"
        )


@copied("ranker", needs=("emotion",))
def retrain(
    config: RunConfig,
    progress: Progress,
    *,
    if_due: bool = False,
    fresh: bool = False,
    now: datetime | None = None,
) -> Retrained | NotDue:
    """Train the ranker on `assist.ranker.conversations` and all feedback that counts, judge it by
    customers held out beside the champion, register it, release it where it does better.

    `if_due`: only where `assist.retraining` says so. A run that was killed is begun again; `fresh`
    ends one that another machine left. Raises ConfigError, CorpusError, LibraryError,
    TrainingError, RegistryError, TrackingError.
    """
    now = now or datetime.now(UTC)
    _check(config)
    folder = config.workspace / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / LOCK), open_store(config.store_url) as store:
            due, why = is_due(config, store, now)
            if if_due and not due:
                return NotDue(why)
            if not store.samples.retrainings() and not store.samples.new():
                raise TrainingError(
                    "there is no feedback to learn from: agents give it on what they are put before"
                )
            check_tracking(config)
            registry = Registry.open(config, config.assist.ranker.name)
            champion = champion_of(registry)
            with (
                _begun(config, store, why, champion.name, now, fresh) as run,
                counted(config, STAGE, progress) as job,
            ):
                return _retrained(config, job, store, registry, champion, run)
    except BlockingIOError:
        raise TrainingError(
            f"another retraining runs in {folder}: wait until it has ended"
        ) from None


def is_due(config: RunConfig, store: Store, now: datetime) -> tuple[bool, str]:
    """By the count of new samples, or by the days since the last retraining (since the first
    sample, where there was none); and why, in words."""
    rules = config.assist.retraining
    new = store.samples.new()
    if not new:
        return False, "no new sample"
    if new >= rules.after_samples:
        return True, f"{new} new samples (retraining.after_samples {rules.after_samples})"
    done = (one.started_at for one in store.samples.retrainings() if one.state != "failed")
    since = next(done, None) or min(one.at for one in store.samples.all())
    days = (now - since) / timedelta(days=1)
    told = f"{new} new samples, {days:.1f} days"
    return days >= rules.after_days, f"{told} (retraining.after_days {rules.after_days:g})"


@dataclass(slots=True)
class _Run:
    """A retraining that goes on, and what came of it."""

    began: Retraining
    samples: list[Sample]
    made: str = ""
    report: ReleaseReport | None = None


@contextmanager
def _begun(
    config: RunConfig, store: Store, why: str, before: str, now: datetime, fresh: bool
) -> Iterator[_Run]:
    """The block's samples are no longer new; they are again where it fails."""
    samples = store.samples
    for one in samples.retrainings():
        mine = f"-{_place(config)}-" in one.retraining_id
        if one.state == _RUNNING and (mine or fresh):
            # The lock is this process's: whoever ran it is gone.
            samples.end(one.retraining_id, "failed", now, judgement={"reason": "broken off"})
    name = f"{now:%Y%m%dT%H%M%S}-{_place(config)}-{uuid.uuid4().hex[:6]}"
    try:
        began = samples.begin(name, why, before, now)
    except RetrainingRunsError as error:
        raise TrainingError(
            f"retraining {error} goes on elsewhere: wait until it has ended or, where it was "
            "killed, end it with --fresh"
        ) from None
    run = _Run(began, samples.all(began.upto))
    try:
        yield run
    except BaseException as error:
        reason = {"reason": type(error).__name__}
        samples.end(name, "failed", datetime.now(UTC), judgement=reason)
        raise
    assert run.report is not None
    state = "released" if run.report.released else "refused"
    judgement = run.report.model_dump(mode="json")
    samples.end(name, state, datetime.now(UTC), run.made, judgement)


def _retrained(
    config: RunConfig,
    progress: Progress,
    store: Store,
    registry: Registry,
    champion: Champion,
    run: _Run,
) -> Retrained:
    library = LibraryShelf(store, config.assist).current()
    samples = _samples(config, run.samples)
    folder = config.workspace / FOLDER
    tags = {"data": samples.data, "retraining": run.began.retraining_id}
    parameters = {"ranker": config.assist.ranker, "retraining": config.assist.retraining}
    with (
        tracked(config, STAGE, folder / "run", parameters, tags) as tracker,
        progress.stage(STAGE, total=config.assist.ranker.epochs) as stage,
    ):

        def tell(epoch: RankerEpoch) -> None:
            stage.advance(1, loss=epoch.contrastive)
            tracker.metrics(epoch.number, {"loss": epoch.contrastive})

        learned = learn(config, samples, library, tell)
        write(config, learned, samples, library, folder / BUNDLE)
    pushes = judged_pushes(config.assist, store, run.began.started_at + timedelta(days=1))
    new = TowerRanker.load(folder / BUNDLE)
    run.report = judge(pushes, champion, new, library, _counts(samples, run), config.assist)
    page = _written(run.report, folder / REPORT)
    texts = {
        "release.html": page.read_text(encoding="utf-8"),
        "release.json": run.report.model_dump_json(indent=1),
        "lineage.json": _lineage(run, champion, samples, library),
    }
    version = release(registry, folder / BUNDLE, tracker.run_id, champion, run.report, texts)
    run.made = version.uri
    return Retrained(run.began.retraining_id, version.uri, run.report, page)


def _samples(config: RunConfig, samples: list[Sample]) -> Samples:
    """Conversations and feedback; nobody who is held out, wherever they come from."""
    base = Samples({split: [] for split in Split}, {split: [] for split in Split}, "")
    if config.assist.ranker.conversations:
        base = read_samples(config, mood_reader(config))
    given = learned_turns(samples, config.assist)
    threshold = config.assist.feedback.threshold

    def may(person: str) -> bool:
        return split_of_person(person, config.assist) is not Split.TEST

    merged = replace(
        base,
        turns={
            split: [
                *(turn for turn in base.turns[split] if may(turn.customer)),
                *judged_turns(given[split], threshold),
            ]
            for split in Split
        },
        pairs={
            split: [pair for pair in base.pairs[split] if may(pair.customer)] for split in Split
        },
    )
    more = {split: pairs_of(turns) for split, turns in given.items()}
    return merged.with_pairs(more, samples_fingerprint(samples))


def _counts(samples: Samples, run: _Run) -> dict[str, int]:
    learned = [one for split in (Split.TRAIN, Split.DEV) for one in samples.pairs[split]]
    return {
        "pairs": len(learned),
        "customers": len({pair.customer for pair in learned}),
        "samples of feedback": len(run.samples),
        "new ones": sum(one.used_by == run.began.retraining_id for one in run.samples),
    }


def _lineage(run: _Run, champion: Champion, samples: Samples, library: ScriptLibrary) -> str:
    """Where the version came from. Samples by number: who they were of stands in the store alone,
    as long as it does."""
    return json.dumps(
        {
            "retraining": run.began.retraining_id,
            "reason": run.began.reason,
            "parent": champion.name,
            "data": samples.data,
            "library": f"{library.name} {library.version} {library.digest}",
            "samples": [one.number for one in run.samples],
            "customers": len({person_of(one) for one in run.samples}),
        },
        indent=1,
    )


def _written(report: ReleaseReport, path: Path) -> Path:
    from persona_ray.evaluation.report.release import write_release

    return write_release(report, path)


def _check(config: RunConfig) -> None:
    bundle = config.assist.ranker.bundle
    if bundle and not bundle.startswith("models:"):
        raise ConfigError(
            f"assist.ranker.bundle names {bundle}, so that a champion would not answer: leave it "
            "empty, or name an alias of the registry"
        )


def _place(config: RunConfig) -> str:
    """Tells this machine's workspace from others in the names of retrainings."""
    name = f"{os.uname().nodename}\0{config.workspace.absolute()}"
    return hashlib.sha256(name.encode()).hexdigest()[:8]
