"""What finetune_against_trainer.py compares with --sweep: 12 trials of each side."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.finetune_runs import Work
from persona_ray.config.space import DECAY, THRESHOLD

if TYPE_CHECKING:
    from persona_ray.launch.workers.job import TrainingJob
    from persona_ray.training.finetune.metrics import Scores

THRESHOLDS, DECAYS = (2, 4, 6, 8), (0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Trial:
    threshold: int
    decay: float

    def of(self, job: TrainingJob) -> TrainingJob:
        update = {"frozen_epochs": self.threshold, "decay_rate": self.decay}
        return replace(job, training=job.training.model_copy(update=update))


def sweep_by_trainer(
    work: Work, trials: Sequence[Trial], processes: int, folder: Path
) -> list[Scores]:
    """Processes that are started once and run one after the other."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as workers:
        running = [
            workers.submit(_trainer_trial, work, trial, folder / f"trial-{at}")
            for at, trial in enumerate(trials)
        ]
        return [one.result() for one in running]


def _trainer_trial(work: Work, trial: Trial, folder: Path) -> Scores:
    import torch

    from benchmarks.trainer_peer import train_with_trainer

    torch.set_num_threads(work.threads)
    job = trial.of(work.job)
    return train_with_trainer(job, job.build_model(), folder, work.readers, saves=False).dev


def sweep_by_product(
    work: Work, trials: Sequence[Trial], processes: int, folder: Path
) -> list[Scores]:
    """`persona-ray sweep` without MLflow, the start of its cluster included: each clip passes the
    frozen encoders once, and the frozen epochs of a decay rate run once."""
    from persona_ray.config.space import space_of
    from persona_ray.config.sweep import SweepConfig
    from persona_ray.launch.labelled import open_labelled
    from persona_ray.launch.sweep.plan import Fold, plan_sweep
    from persona_ray.launch.sweep.run import run_sweep
    from persona_ray.launch.sweep.state import SweepState
    from persona_ray.progress import SilentProgress
    from persona_ray.training.finetune.vectors import VectorCache

    space = {
        THRESHOLD: {"grid": sorted({trial.threshold for trial in trials})},
        DECAY: {"grid": sorted({trial.decay for trial in trials})},
    }
    job = work.job
    section = SweepConfig.model_validate(
        {
            "space": space, "seeds": [job.training.seed], "max_concurrent": processes,
            "cpus_per_trial": work.threads,
        }
    )  # fmt: skip
    update = {"sweep": section, "training": job.training, "workspace": folder / "sweep"}
    data = open_labelled(work.config)
    config = work.config.model_copy(update=update)
    plan = plan_sweep(config, list(space), data, VectorCache(folder / "vectors of the sweep"))
    fold = Fold(job.train, job.dev)
    plan = replace(plan, folds=(fold,), digests=(fold.digest(),))
    chosen = [{THRESHOLD: trial.threshold, DECAY: trial.decay} for trial in trials]
    state = SweepState(plan, space_of(section, job.training), chosen)
    run_sweep(state, SilentProgress(), threading.Event())
    found = [history.last.dev for history in state.histories.values()]
    return [scores for scores in found if scores is not None]
