"""What finetune_against_trainer.py compares: one run of each side, in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.shared import labelled_job
from persona_ray.config import RunConfig
from persona_ray.types import Example

if TYPE_CHECKING:
    from persona_ray.launch.workers.job import TrainingJob
    from persona_ray.training.finetune.metrics import Scores

COLD, WARM, PEER = "product, cold", "product, warm", "Trainer"


@dataclass(frozen=True)
class Work:
    """What an arm is given. `readers`: of the peer; `threads` of each process."""

    config: RunConfig
    job: TrainingJob
    held_out: tuple[Example, ...]
    readers: int
    threads: int


@dataclass(frozen=True)
class Told:
    """What a run says of itself; scores are those after the last epoch. `processor` seconds are
    those of all threads; `gpu_mb` is None without a GPU, `held_out` without held-out clips."""

    seconds: float
    processor: float
    memory_mb: float
    gpu_mb: float | None
    loss: float
    updates: int
    dev: Scores
    held_out: Scores | None
    process: float = 0.0


def run_alone(work: Work, arm: str, folder: Path) -> Told:
    """In a process of its own."""
    began = time.perf_counter()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        told = pool.submit(_run, work, arm, folder).result()
    return replace(told, process=time.perf_counter() - began)


def _run(work: Work, arm: str, folder: Path) -> Told:
    import torch

    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.encode import Pass
    from persona_ray.training.finetune.inputs import LabelledClips
    from persona_ray.training.finetune.metrics import score
    from persona_ray.training.finetune.predict import predict_as_is

    torch.set_num_threads(work.threads)
    job = work.job
    model = job.build_model()
    began, used = time.perf_counter(), time.process_time()
    if arm == PEER:
        # Trainer imports it wherever it is installed, which is no part of training.
        import_module("deepspeed")
        from benchmarks.trainer_peer import train_with_trainer

        began, used = time.perf_counter(), time.process_time()
        trained = train_with_trainer(job, model, folder, work.readers)
        loss, dev, updates = trained.loss, trained.dev, trained.steps
    else:
        loss, dev, updates = _product(job, model, folder)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    memory, gpu = peak_memory_mb()
    held_out = None
    if work.held_out:
        clips = LabelledClips(work.held_out, job.source, model)
        rows = predict_as_is(clips, Pass.alone(job.training.micro_batch_s, PlainContext()))
        held_out = score(work.held_out, rows, model.labels)
    return Told(seconds, processor, memory, gpu, loss, updates, dev, held_out)


def _product(job: TrainingJob, model: Any, folder: Path) -> tuple[float, Scores, int]:
    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.progress import Progress
    from persona_ray.training.finetune.run import Known, fit

    context = PlainContext(folder)
    known = Known(cache=job.vectors)
    history = fit(
        model, job.train, job.dev, job.source, job.training, context, engine=job.engine, known=known
    )
    left = context.restore()
    assert left is not None
    assert history.last.dev is not None
    return history.last.loss, history.last.dev, Progress.read(left, None).update


def peak_memory_mb() -> tuple[float, float | None]:
    """Of this process, and of what it held on the GPU."""
    import torch

    # Not getrusage: what is inherited from the process that started this one counts there.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak_kb = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    gpu = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None
    return int(peak_kb) * 1024 / 1e6, gpu


def with_seed(work: Work, seed: int, folder: Path) -> Work:
    from persona_ray.training.finetune.vectors import VectorCache

    training = work.job.training.model_copy(update={"seed": seed})
    job = replace(work.job, training=training, vectors=VectorCache(folder / "vectors"))
    return replace(work, job=job)


def work_of(config: RunConfig, clips: int | None, readers: int | None, unfrozen: bool) -> Work:
    import torch

    # Encoders are those of the model section.
    alone = config.pretraining.model_copy(update={"encoders": ()})
    config = config.model_copy(update={"pretraining": alone})
    job, held_out = labelled_job(config)
    # Every epoch is run on both sides.
    training = config.training.model_copy(
        update={"stop_loss": 0.0, "patience": None} | ({"frozen_epochs": 0} if unfrozen else {})
    )
    job = replace(
        job, training=training, train=thinned(job.train, clips), dev=thinned(job.dev, clips)
    )
    if readers is None:
        # Beside processors that train, readers take their time from the training.
        readers = 4 if torch.cuda.is_available() else 0
    threads = max(1, int(config.launch.cpus_per_worker))
    return Work(config, job, held_out, readers, threads)


def thinned(examples: Sequence[Example], most: int | None) -> tuple[Example, ...]:
    """At most so many, from all over the split."""
    step = 1 if most is None else max(1, -(-len(examples) // most))
    return tuple(examples[::step])
