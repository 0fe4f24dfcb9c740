"""Trials of a sweep on Ray Tune.

Tune's own books of an experiment are not used to go on: what a sweep keeps is in its journal, run
by run, which outlives the driver, a changed space and Tune itself.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from persona_ray.config.space import Values
from persona_ray.config.sweep import Distribution, SweepConfig
from persona_ray.errors import ConfigError, PersonaRayError, TrainingError
from persona_ray.launch.sweep.plan import SweepPlan
from persona_ray.launch.sweep.trial import (
    EPOCHS,
    PROGRESS,
    RUN,
    SCORE,
    TRIAL,
    Work,
    large_trial,
    small_trial,
)

if TYPE_CHECKING:
    from ray.tune import Callback, Stopper
    from ray.tune.search import Searcher

    from persona_ray.training.finetune.history import EpochResult

# A share of the head node, where drivers of large trials run: they take no processor from their own
# workers, who would otherwise wait for it for ever.
_BESIDE_THE_HEAD = {"CPU": 0.0, "node:__internal_head__": 0.001}
# Of a trial whose process was lost. What fails a second time fails in the others too.
_RESTARTS = 1


class Listener(Protocol):
    """What the driver hears of trials, in a thread of its own. `trial`: a planned trial's number,
    or the values that Optuna chose."""

    def told(self, trial: Values | int, run: str, epochs: Sequence[EpochResult]) -> None:
        """Epochs of one of its runs."""
        ...

    def over(self, trial: Values | int) -> None:
        """It has ended by itself, or was given up by the scheduler."""
        ...


def check_search(sweep: SweepConfig) -> None:
    """Raises ConfigError where Optuna is wanted and missing."""
    if sweep.search != "optuna":
        return
    try:
        import colorlog  # noqa: F401 - Optuna asks for it when it is used
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"sweep.search optuna: the package {error.name} is not installed: pip install "
            "'persona-ray[optuna]' (or: pip install optuna colorlog), or --set sweep.search=random"
        ) from None


def run_trials(
    plan: SweepPlan,
    work: Work,
    space: Mapping[str, Distribution] | None,
    evaluated: Sequence[tuple[Values, float]],
    at_a_time: int,
    large: bool,
    folder: Path,
    listener: Listener,
    stop: threading.Event,
) -> None:
    """Run `work.trials`, or, where `space` is given, as many as `sweep.samples` less those
    `evaluated` before, chosen by Optuna. `folder` takes Tune's books, which go at the end.

    Ends early, without the trials under way, once `stop` is set. Raises what a trial raised, as
    soon as one has failed for good.
    """
    # Tune would write each result to files of three kinds, and tables into the progress bar.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    from ray import tune

    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    sweep = plan.sweep
    resources = _BESIDE_THE_HEAD if large else {"CPU": sweep.cpus_per_trial}
    body = large_trial if large else small_trial
    search = None if space is None else _optuna(sweep, space, evaluated)
    trials = len(work.trials) if space is None else sweep.samples - len(evaluated)
    failed = threading.Event()
    shutil.rmtree(folder, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(body, work=work), resources),
        param_space={TRIAL: tune.grid_search(list(range(trials)))} if space is None else None,
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="min" if sweep.smaller_is_better else "max",
            search_alg=search,
            scheduler=_scheduler(plan, work),
            num_samples=1 if space is None else trials,
            max_concurrent_trials=at_a_time,
            # A new process for each trial costs the imports; a large one is ended with its workers.
            reuse_actors=not large,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.absolute().parent),
            failure_config=tune.FailureConfig(max_failures=_RESTARTS),
            callbacks=[_callback(listener, space, stop, failed)],
            stop=_stopper(stop, failed),
            verbose=0,
        ),
    )
    found = tuner.fit()
    shutil.rmtree(folder, ignore_errors=True)
    if found.errors and not stop.is_set():
        raise _error(found.errors)


def _scheduler(plan: SweepPlan, work: Work) -> Any:
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    sweep = plan.sweep
    if sweep.scheduler == "none":
        return FIFOScheduler()
    planned = [sum(run.training.epochs for run in trial.runs) for trial in work.trials]
    epochs = max(planned, default=plan.config.training.epochs * len(plan.folds) * len(sweep.seeds))
    return ASHAScheduler(
        time_attr=PROGRESS,
        # Beyond the last epoch, at which a trial ends by itself.
        max_t=max(epochs, sweep.grace_epochs) + 1,
        grace_period=sweep.grace_epochs,
        reduction_factor=sweep.reduction,
        # What was allowed to go on is not asked again at the same epoch.
        stop_last_trials=False,
    )


def _optuna(
    sweep: SweepConfig,
    space: Mapping[str, Distribution],
    evaluated: Sequence[tuple[Values, float]],
) -> Searcher:
    import optuna
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Of values that are lists, which only a study on disk could not keep.
    warnings.filterwarnings("ignore", message="Choices for a categorical")
    domains: dict[str, Any] = {}
    for path, distribution in space.items():
        if distribution.values is not None:
            domains[path] = tune.choice(list(distribution.values))
        elif distribution.randint is not None:
            low, high = distribution.randint
            domains[path] = tune.randint(low, high + 1)
        elif distribution.loguniform is not None:
            domains[path] = tune.loguniform(*distribution.bounds)
        else:
            domains[path] = tune.uniform(*distribution.bounds)
    points = [dict(values) for values, _ in evaluated]
    return OptunaSearch(
        OptunaSearch.convert_search_space(domains),
        metric=SCORE,
        mode="min" if sweep.smaller_is_better else "max",
        # Others than before, where the sweep goes on.
        seed=sweep.seeds[0] + len(evaluated),
        points_to_evaluate=points or None,
        evaluated_rewards=[score for _, score in evaluated] or None,
    )


def _callback(
    listener: Listener,
    space: Mapping[str, Distribution] | None,
    stop: threading.Event,
    failed: threading.Event,
) -> Callback:
    from ray.tune import Callback

    from persona_ray.training.finetune.history import EpochResult

    def which(config: Mapping[str, Any]) -> Values | int:
        return int(config[TRIAL]) if space is None else dict(config)

    class Hear(Callback):  # type: ignore[misc]
        def on_trial_result(self, iteration, trials, trial, result, **info):  # type: ignore[no-untyped-def] # noqa: ARG002
            rows = json.loads(result[EPOCHS])
            epochs = [EpochResult.from_json(row) for row in rows]
            listener.told(which(trial.config), result[RUN], epochs)

        def on_trial_complete(self, iteration, trials, trial, **info):  # type: ignore[no-untyped-def] # noqa: ARG002
            # A sweep that is asked to stop ends its trials in the same way.
            if not (stop.is_set() or failed.is_set()):
                listener.over(which(trial.config))

        def on_trial_error(self, iteration, trials, trial, **info):  # type: ignore[no-untyped-def] # noqa: ARG002
            failed.set()

        def __reduce__(self) -> tuple[type[Callback], tuple[()]]:
            # Tune keeps a copy in its books, which nobody reads.
            return Callback, ()

    return Hear()


def _stopper(*events: threading.Event) -> Stopper:
    from ray.tune import Stopper
    from ray.tune.stopper import NoopStopper

    class Asked(Stopper):  # type: ignore[misc]
        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
            return False

        def stop_all(self) -> bool:
            return any(event.is_set() for event in events)

        def __reduce__(self) -> tuple[type[Stopper], tuple[()]]:
            return NoopStopper, ()

    return Asked()


def _error(errors: Sequence[Exception]) -> PersonaRayError:
    """The trial's own message: the last line that is not Ray's."""
    for error in errors:
        cause = getattr(error, "cause", None) or error.__cause__
        if isinstance(cause, PersonaRayError):
            return cause
    lines = [line for line in str(errors[0]).strip().splitlines() if line.strip()]
    return TrainingError(
        f"{len(errors)} trial{'s' * (len(errors) > 1)} of the sweep failed: {lines[-1]}; what has "
        "ended is kept: the same command goes on"
    )
