"""Training by Ray Train: the same loop in data-parallel workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import TrainingError
from persona_ray.launch.job import TrainingJob
from persona_ray.launch.plain import threads
from persona_ray.launch.train_workers import Desk, RayWorker, each_once, open_desk, run_workers

if TYPE_CHECKING:
    from persona_ray.models.bimodal import BimodalModel
    from persona_ray.training.finetune.history import EpochResult, History


class RayContext(RayWorker):
    """What `persona_ray.training.context.TrainContext` asks for, inside a Ray Train worker."""

    def __init__(self, stack: ExitStack) -> None:
        """`stack` closes what `restore` opened."""
        super().__init__()
        self._stack = stack

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        from ray import train

        kept = None if checkpoint is None else train.Checkpoint.from_directory(str(checkpoint))
        train.report(dict(metrics), checkpoint=kept)

    def restore(self) -> Path | None:
        from ray import train

        checkpoint = train.get_checkpoint()
        if checkpoint is None:
            return None
        return Path(self._stack.enter_context(checkpoint.as_directory()))


def fit_on_ray(
    job: TrainingJob,
    launch: LaunchConfig,
    folder: Path,
    on_epoch: Callable[[EpochResult], None],
) -> tuple[BimodalModel, History]:
    """Train on the connected cluster and return the model.

    Checkpoints are kept in `folder` (for several machines: on a file system they share), from
    where a lost worker or a rerun goes on. Raises TrainingError when the workers cannot go on.
    """
    import ray

    with open_desk(each_once(on_epoch, lambda result: result.epoch)) as desk:
        arguments = {"job": ray.put(job), "launch": launch, "desk": desk}
        result = run_workers(_worker, arguments, launch, folder, kept=1)
    if result.checkpoint is None:
        raise TrainingError(f"training on Ray left no checkpoint in {folder}")
    return _load(job, result.checkpoint)


def _worker(config: dict[str, Any]) -> None:
    import ray

    from persona_ray.training.finetune.fit import fit

    job: TrainingJob = ray.get(config["job"])
    desk: Desk = config["desk"]
    with ExitStack() as stack, threads(config["launch"]):
        context = RayContext(stack)

        def tell(result: EpochResult) -> None:
            if context.rank == 0:
                desk.put(result)

        fit(
            job.build_model(),
            job.train,
            job.dev,
            job.source,
            job.training,
            context,
            tell,
            vectors=job.vectors,
        )


def _load(job: TrainingJob, checkpoint: Any) -> tuple[BimodalModel, History]:
    from persona_ray.training.finetune.checkpoint import RunIdentity, load_weights, read_history

    model = job.build_model()
    with checkpoint.as_directory() as folder:
        load_weights(Path(folder), model)
        known = RunIdentity.of(job.training, len(job.train), job.labels)
        return model, read_history(Path(folder), known)
