"""Training in this process, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import ConfigError
from persona_ray.launch.job import TrainingJob

if TYPE_CHECKING:
    from persona_ray.models.bimodal import BimodalModel
    from persona_ray.training.finetune.history import EpochResult, History


def fit_plain(
    job: TrainingJob,
    launch: LaunchConfig,
    folder: Path,
    on_epoch: Callable[[EpochResult], None],
) -> tuple[BimodalModel, History]:
    """Train and return the model; checkpoints are kept in `folder`, from where a rerun goes on."""
    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.fit import fit

    with in_this_process(launch):
        model = job.build_model()
        history = fit(
            model,
            job.train,
            job.dev,
            job.source,
            job.training,
            PlainContext(folder),
            on_epoch,
            vectors=job.vectors,
        )
    return model.cpu(), history


@contextmanager
def in_this_process(launch: LaunchConfig) -> Iterator[None]:
    """For training without a launcher; raises ConfigError where more than one worker is wanted."""
    if launch.workers > 1:
        raise ConfigError(
            f"launch.workers {launch.workers} needs launch.backend ray: plain is one process"
        )
    with threads(launch):
        yield


@contextmanager
def threads(launch: LaunchConfig) -> Iterator[None]:
    """As many threads as a Ray worker is lent processors: sums are then taken in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(launch.cpus_per_worker)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
