"""One fine-tuning run, on Ray Train or in this process: from a job to a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import TrainingError
from persona_ray.launch.workers.job import TrainingJob
from persona_ray.launch.workers.run import run_here, run_on_ray
from persona_ray.training.run_folder import RunFolder

if TYPE_CHECKING:
    from persona_ray.models.bimodal import BimodalModel
    from persona_ray.training.context import TrainContext
    from persona_ray.training.finetune.history import EpochResult, History


@dataclass(frozen=True, slots=True)
class Finetuned:
    """`checkpoint` holds the weights after the last epoch, and those of the best."""

    job: TrainingJob
    history: History
    checkpoint: Path

    def model(self, best: bool = False) -> BimodalModel:
        """On the CPU. Raises TrainingError for `best` without dev clips."""
        from persona_ray.training.finetune.outcome import load_finetuned

        model = self.job.build_model()
        load_finetuned(self.checkpoint, model, self.job.training, best)
        return model


def fit_on_ray(
    job: TrainingJob, launch: LaunchConfig, folder: Path, on_epoch: Callable[[EpochResult], None]
) -> Finetuned:
    """Run `persona_ray.training.finetune` in workers, as `run_on_ray` says."""
    answer = run_on_ray(_fit, job, launch, folder, on_epoch, lambda result: result.epoch)
    return _finetuned(job, answer, folder)


def fit_plain(
    job: TrainingJob, launch: LaunchConfig, folder: Path, on_epoch: Callable[[EpochResult], None]
) -> Finetuned:
    """`fit_on_ray` in this process, without Ray."""
    return _finetuned(job, run_here(_fit, job, launch, folder, on_epoch), folder)


def _fit(
    job: TrainingJob, context: TrainContext, tell: Callable[[EpochResult], None]
) -> dict[str, Any]:
    from persona_ray.training.finetune.run import Known, fit

    history = fit(
        job.build_model(),
        job.train,
        job.dev,
        job.source,
        job.training,
        context,
        tell,
        engine=job.engine,
        known=Known(cache=job.vectors),
    )
    return history.as_json()


def _finetuned(job: TrainingJob, answer: dict[str, Any], folder: Path) -> Finetuned:
    from persona_ray.training.finetune.history import History

    history, newest = History.from_json(answer), RunFolder(folder).newest()
    if history.ended is None or newest is None:
        raise TrainingError(
            f"fine-tuning ended after {len(history.epochs)} epochs, before its time: run it again "
            f"to go on from {newest or 'the start'}"
        )
    return Finetuned(job, history, newest)
