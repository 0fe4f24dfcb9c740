"""Training by Ray Train: the same loop in data-parallel workers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import TrainingError
from persona_ray.launch.job import TrainingJob
from persona_ray.launch.plain import threads

if TYPE_CHECKING:
    import torch

    from persona_ray.models.bimodal import BimodalModel
    from persona_ray.training.history import EpochResult, History


class RayContext:
    """What `persona_ray.training.context.TrainContext` asks for, inside a Ray Train worker."""

    def __init__(self, stack: ExitStack) -> None:
        """`stack` closes what `restore` opened."""
        from ray import train

        context = train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self._stack = stack

    @property
    def device(self) -> torch.device:
        from ray.train.torch import get_device

        device: torch.device = get_device()
        return device

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
    from ray.train import (
        CheckpointConfig,
        FailureConfig,
        LoggingConfig,
        RunConfig,
        ScalingConfig,
        TrainingFailedError,
    )
    from ray.train.torch import TorchTrainer

    folder.mkdir(parents=True, exist_ok=True)
    with _relay(on_epoch) as epochs:
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"job": ray.put(job), "launch": launch, "epochs": epochs},
            scaling_config=ScalingConfig(
                num_workers=launch.workers,
                use_gpu=launch.gpus_per_worker > 0,
                resources_per_worker=_resources(launch),
            ),
            run_config=RunConfig(
                name=folder.name,
                storage_path=str(folder.absolute().parent),
                checkpoint_config=CheckpointConfig(num_to_keep=1),
                failure_config=FailureConfig(max_failures=launch.max_failures),
                logging_config=LoggingConfig(log_level="ERROR"),
            ),
        )
        try:
            result = trainer.fit()
        except TrainingFailedError as error:
            raise TrainingError(f"training on Ray failed: {_cause(error)}") from error
    if result.checkpoint is None:
        raise TrainingError(f"training on Ray left no checkpoint in {folder}")
    return _load(job, result.checkpoint)


def _worker(config: dict[str, Any]) -> None:
    import ray

    from persona_ray.training.fit import fit

    job: TrainingJob = ray.get(config["job"])
    epochs = config["epochs"]
    with ExitStack() as stack, threads(config["launch"]):
        context = RayContext(stack)

        def tell(result: EpochResult) -> None:
            if context.rank == 0:
                epochs.put(result)

        fit(job.build_model(), job.train, job.dev, job.source, job.training, context, tell)


def _load(job: TrainingJob, checkpoint: Any) -> tuple[BimodalModel, History]:
    from persona_ray.training.checkpoint import RunIdentity, load_weights, read_history

    model = job.build_model()
    with checkpoint.as_directory() as folder:
        load_weights(Path(folder), model)
        known = RunIdentity.of(job.training, len(job.train), job.labels)
        return model, read_history(Path(folder), known)


@contextmanager
def _relay(on_epoch: Callable[[EpochResult], None]) -> Iterator[Any]:
    """A queue whose epochs are handed to `on_epoch` here, in the driver, each once."""
    from ray.util.queue import Empty, Queue

    queue = Queue(actor_options={"num_cpus": 0})
    done = threading.Event()
    told = 0

    def drain(timeout_s: float) -> None:
        nonlocal told
        try:
            while True:
                result: EpochResult = queue.get(timeout=timeout_s)
                # After a lost worker an epoch may come again.
                if result.epoch > told:
                    told = result.epoch
                    on_epoch(result)
        except Empty:
            return

    def listen() -> None:
        while not done.is_set():
            drain(0.2)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield queue
        done.set()
        listener.join()
        drain(0.2)
    finally:
        done.set()
        listener.join()
        queue.shutdown(force=True)


def _resources(launch: LaunchConfig) -> dict[str, float]:
    wanted = {"CPU": launch.cpus_per_worker}
    return wanted | ({"GPU": launch.gpus_per_worker} if launch.gpus_per_worker else {})


def _cause(error: Exception) -> str:
    """The worker's own message: the last line that is not Ray's."""
    failures: Mapping[int, Exception] = getattr(error, "worker_failures", {})
    causes = list(failures.values()) or [error]
    logging.getLogger(__name__).debug("training failed", exc_info=error)
    return str(causes[0]).strip().splitlines()[-1]
