"""A sweep on the cluster: what trials share first, then the trials."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any

from persona_ray.config.space import Values
from persona_ray.errors import PersonaRayError, TrainingError
from persona_ray.launch.cluster import connect
from persona_ray.launch.sweep.plan import Trial
from persona_ray.launch.sweep.room import is_large, room
from persona_ray.launch.sweep.shared import Gather, Shared, Sharing
from persona_ray.launch.sweep.state import SweepState
from persona_ray.launch.sweep.trial import Work
from persona_ray.launch.sweep.tune import run_trials
from persona_ray.launch.workers.ray_train import LOOK_EVERY_S
from persona_ray.launch.workers.run import beside
from persona_ray.progress import Progress
from persona_ray.watch import spans

# Tune takes so long to end its trials; then the cluster's end ends them.
_LAST_WAIT_S = 20.0


def run_sweep(state: SweepState, progress: Progress, stop: threading.Event) -> None:
    """Train what `state` does not know, and tell it. Returns early once `stop` is set."""
    with connect(state.plan.config.launch):
        _run(state, progress, stop)


def _run(state: SweepState, progress: Progress, stop: threading.Event) -> None:
    import ray

    plan = state.plan
    config, sweep = plan.config, plan.sweep
    large = is_large(config.launch, config.engine)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    at_a_time = room(nodes, config.launch, config.engine, sweep)
    trials = _to_run(state)
    runs = [run for trial in trials for run in trial.runs if run.key not in state.histories]
    sharing = Sharing(plan, _gather(stop), progress)
    shared = Shared() if large else sharing.share(runs, at_a_time)
    if stop.is_set():
        return
    folder, histories = state.folder.absolute(), dict(state.histories)
    work = Work(sharing.plan, trials, shared, histories, folder, spans.carried())
    scored = [(trial, state.row(trial)) for trial in state.trials if state.is_over(trial)]
    evaluated = [(trial.values, row.score) for trial, row in scored if row is not None]
    combinations = sweep.samples if state.chooses else len(state.trials)
    total = combinations * len(plan.folds) * len(sweep.seeds)
    with progress.stage("sweep", total=total) as stage:
        stage.advance(len(state.histories))
        state.on_run = lambda: stage.advance(1, **_best(state))
        trying = beside(
            lambda: run_trials(
                plan,
                work,
                state.space if state.chooses else None,
                evaluated if state.chooses else (),
                at_a_time,
                large,
                state.folder / "tune",
                _Listener(state, trials),
                stop,
            )
        )
        _wait(trying, stop)


def _to_run(state: SweepState) -> list[Trial]:
    if state.chooses:
        return []
    if state.plan.sweep.scheduler != "none":
        # A scheduler compares with what is known, which costs nothing.
        return state.trials
    # Nothing is compared on the way: each run is a trial of its own.
    return [
        Trial(trial.values, (run,))
        for trial in state.trials
        for run in trial.runs
        if run.key not in state.histories
    ]


class _Listener:
    """What Tune's trials tell, as `state` wants it."""

    def __init__(self, state: SweepState, trials: Sequence[Trial]) -> None:
        self._state, self._trials = state, trials

    def told(self, trial: Values | int, run: str, epochs: Sequence[Any]) -> None:
        self._state.told(self._values(trial), run, epochs)

    def over(self, trial: Values | int) -> None:
        if self._state.plan.sweep.scheduler != "none":
            self._state.over(self._values(trial))

    def _values(self, trial: Values | int) -> Values:
        return self._trials[trial].values if isinstance(trial, int) else trial


def _best(state: SweepState) -> Mapping[str, float]:
    rows = state.result().rows
    return {f"best_{state.plan.sweep.metric}": rows[0].score} if rows else {}


def _gather(stop: threading.Event) -> Gather:
    import ray

    def gather(refs: Sequence[Any], after_each: Callable[[], None]) -> dict[Any, Any]:
        answers: dict[Any, Any] = {}
        waiting = list(refs)
        while waiting and not stop.is_set():
            done, waiting = ray.wait(waiting, timeout=LOOK_EVERY_S)
            for ref in done:
                try:
                    answers[ref] = ray.get(ref)
                except ray.exceptions.RayTaskError as error:
                    raise _said(error) from None
                after_each()
        if stop.is_set():
            raise KeyboardInterrupt
        return answers

    return gather


def _said(error: Any) -> PersonaRayError:
    """The task's own error: the last line that is not Ray's."""
    cause = error.cause
    if isinstance(cause, PersonaRayError):
        return cause
    return TrainingError(f"a sweep's task failed: {str(error).strip().splitlines()[-1]}")


def _wait(trying: Future[None], stop: threading.Event) -> None:
    while not trying.done() and not stop.is_set():
        wait([trying], timeout=LOOK_EVERY_S)
    if stop.is_set():
        wait([trying], timeout=_LAST_WAIT_S)
        return
    trying.result()
