"""What finetune_against_trainer.py compares with --sweep: 12 trials of each side."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.finetune_runs import Work

if TYPE_CHECKING:
    from persona_ray.launch.job import TrainingJob
    from persona_ray.training.finetune.inputs import Vectors
    from persona_ray.training.finetune.metrics import Scores
    from persona_ray.training.finetune.run import Start

THRESHOLDS, DECAYS = (2, 4, 6, 8), (0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Trial:
    threshold: int
    decay: float

    def of(self, job: TrainingJob) -> TrainingJob:
        update = {"frozen_epochs": self.threshold, "decay_rate": self.decay}
        return replace(job, training=job.training.model_copy(update=update))


@contextmanager
def pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as workers:
        yield workers


def sweep_by_trainer(
    work: Work, trials: Sequence[Trial], processes: int, folder: Path
) -> list[Scores]:
    with pool(processes) as workers:
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
    """Each clip passes the encoders once, and the frozen epochs of a decay rate run once."""
    del folder  # nothing is kept: neither are Trainer's checkpoints
    with pool(processes) as workers:
        vectors = workers.submit(_vectors, work).result()
        prefixes = {
            decay: workers.submit(_prefix, work, Trial(max(THRESHOLDS), decay), vectors)
            for decay in DECAYS
        }
        starts = {
            (decay, epoch): start
            for decay, prefix in prefixes.items()
            for epoch, start in prefix.result().items()
        }
        running = [
            workers.submit(
                _product_trial, work, trial, vectors, starts[trial.decay, trial.threshold]
            )
            for trial in trials
        ]
        return [one.result() for one in running]


def _vectors(work: Work) -> tuple[Vectors, Vectors]:
    import torch

    from persona_ray.training.agreement import Agreement
    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.encode import encode_once
    from persona_ray.training.finetune.inputs import LabelledClips

    torch.set_num_threads(work.threads)
    job = work.job
    model = job.build_model()
    train, dev = (
        encode_once(
            LabelledClips(examples, job.source, model),
            job.training.micro_batch_s, job.engine, PlainContext(), Agreement(1),
        )
        for examples in (job.train, job.dev)
    )  # fmt: skip
    return train, dev


def _prefix(work: Work, trial: Trial, vectors: tuple[Vectors, Vectors]) -> dict[int, Start]:
    """The frozen epochs alone."""
    job = trial.of(work.job)
    only = job.training.model_copy(update={"epochs": trial.threshold})
    starts: dict[int, Start] = {}
    _fit(work, replace(job, training=only), vectors, None, starts)
    return starts


def _product_trial(
    work: Work, trial: Trial, vectors: tuple[Vectors, Vectors], start: Start
) -> Scores:
    return _fit(work, trial.of(work.job), vectors, start, {})


def _fit(
    work: Work,
    job: TrainingJob,
    vectors: tuple[Vectors, Vectors],
    start: Start | None,
    starts: dict[int, Start],
) -> Scores:
    import torch

    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.run import Known, fit

    torch.set_num_threads(work.threads)
    history = fit(
        job.build_model(), job.train, job.dev, job.source, job.training, PlainContext(),
        engine=job.engine, known=Known(vectors=vectors, start=start), on_frozen=starts.__setitem__,
    )  # fmt: skip
    assert history.last.dev is not None
    return history.last.dev
