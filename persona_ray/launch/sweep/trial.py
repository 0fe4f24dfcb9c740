"""A trial, as Ray Tune runs it: one run after the other, each told epoch by epoch.

A report holds what the driver keeps (`run`, `epochs`) and what Tune compares: `score`, the mean
over the runs so far, at `progress`, the epochs that these runs may take. Trials that are compared
have been trained with the same seeds on the same folds.
"""

from __future__ import annotations

import json
import queue
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.launch.sweep.plan import SweepPlan, SweepRun, Trial
from persona_ray.launch.sweep.scores import mean_score, score_of
from persona_ray.launch.sweep.shared import Shared, fit_run, known_of, use_threads
from persona_ray.watch import spans

if TYPE_CHECKING:
    from persona_ray.training.finetune.history import EpochResult, History

# The names of a report.
SCORE, PROGRESS, RUN, EPOCHS = "score", "progress", "run", "epochs"
# The key of Tune's configuration that holds the number of a planned trial; without it, the
# configuration is the values themselves.
TRIAL = "trial"
# How often a trial looks whether the workers it waits for have news.
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Work:
    """What all trials are told; `plan` is a reference. `known`: histories of runs that are not
    trained again, which a scheduler wants to hear all the same. `folder` takes checkpoints of large
    models. `place`: of the sweep in its trace."""

    plan: Any
    trials: Sequence[Trial]
    shared: Shared
    known: Mapping[str, History]
    folder: Path
    place: spans.Carried = spans.NOWHERE


def small_trial(config: Mapping[str, Any], work: Work) -> None:
    """In this process, on `sweep.cpus_per_trial` processors."""
    import ray

    plan: SweepPlan = ray.get(work.plan)
    use_threads(plan)
    teller = _Teller(plan)
    with _traced(config, work):
        for run in _to_train(config, work, plan, teller):
            shared = known_of(plan, run, work.shared)
            if shared.start is not None:
                teller.tell(run, shared.start.progress.history.epochs)
            fit_run(plan, run, shared, teller.listen(run))


def large_trial(config: Mapping[str, Any], work: Work) -> None:
    """This process drives workers of Ray Train, which take what `launch` says."""
    import ray

    from persona_ray.launch.finetune_run import fit_on_ray
    from persona_ray.launch.workers.run import beside

    plan: SweepPlan = ray.get(work.plan)
    teller, launch = _Teller(plan), plan.config.launch
    with _traced(config, work):
        for run in _to_train(config, work, plan, teller):
            folder = work.folder / run.key
            teller.tell(run, _done_before(folder))
            news: queue.SimpleQueue[EpochResult] = queue.SimpleQueue()
            # In another thread: Tune ends a trial by what `report` raises in this one.
            fitting = beside(partial(fit_on_ray, plan.job(run), launch, folder, news.put))
            while not (fitting.done() and news.empty()):
                try:
                    teller.tell(run, [news.get(timeout=_LOOK_EVERY_S)])
                except queue.Empty:
                    continue
            fitting.result()
            # The driver has its epochs; Ray wrote its books until now.
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _traced(config: Mapping[str, Any], work: Work) -> Iterator[None]:
    try:
        with spans.continued(work.place, "trial", trial=config.get(TRIAL)):
            yield
    finally:
        # Tune may end the process at once.
        spans.flush()


class _Teller:
    """Reports of one trial."""

    def __init__(self, plan: SweepPlan) -> None:
        self._plan = plan
        self._told: dict[str, list[EpochResult]] = {}
        self._run, self._before, self._epochs = "", 0, 0

    def tell(self, run: SweepRun, epochs: Sequence[EpochResult]) -> None:
        """Once for each epoch, since that is what schedulers count."""
        from ray import tune

        if run.key != self._run:
            self._run, self._before = run.key, self._before + self._epochs
            self._epochs = run.training.epochs
        told = self._told.setdefault(run.key, [])
        for epoch in epochs:
            told.append(epoch)
            tune.report(
                {
                    SCORE: self._score(run),
                    PROGRESS: self._before + epoch.epoch,
                    RUN: run.key,
                    EPOCHS: json.dumps([asdict(epoch)]),
                }
            )

    def listen(self, run: SweepRun) -> Any:
        return lambda result: self.tell(run, [result])

    def _score(self, run: SweepRun) -> float:
        sweep, keep = self._plan.sweep, run.training.keep
        scores = [score_of(told, keep, sweep.metric) for told in self._told.values()]
        return mean_score(scores)


def _to_train(
    config: Mapping[str, Any], work: Work, plan: SweepPlan, teller: _Teller
) -> Iterator[SweepRun]:
    """The trial's runs without those that are known, which are told as they are passed."""
    for run in _runs(config, work, plan):
        known = work.known.get(run.key)
        if known is None:
            yield run
            continue
        teller.tell(run, known.epochs)
        if known.ended is None:
            # It was given up, and with it the trial.
            return


def _runs(config: Mapping[str, Any], work: Work, plan: SweepPlan) -> Sequence[SweepRun]:
    if TRIAL in config:
        trial: Trial = work.trials[config[TRIAL]]
        return trial.runs
    return plan.runs(config)


def _done_before(folder: Path) -> Sequence[EpochResult]:
    """Epochs of a run that was killed, which its checkpoint goes on from."""
    from persona_ray.training.finetune.progress import Progress
    from persona_ray.training.run_folder import RunFolder

    newest = RunFolder(folder).newest()
    return () if newest is None else Progress.read(newest, None).history.epochs
