"""The arms of finetune_throughput.py: epochs with the encoders, in turns."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.lockstep import Address, Gate, Held, failing_aloud
from persona_ray.config.learning import LaunchConfig
from persona_ray.launch.workers.job import TrainingJob

if TYPE_CHECKING:
    from persona_ray.training.context import TrainContext
    from persona_ray.training.feed import Course


@dataclass(frozen=True)
class Job:
    """What an arm is told."""

    work: TrainingJob
    launch: LaunchConfig
    address: Address


def course_of(work: TrainingJob) -> Course:
    """The updates that every arm makes."""
    from persona_ray.training.feed import Course

    config = work.training
    return Course(
        "fine-tuning", sizes_of(work), config.batch_s, config.micro_batch_s, config.seed,
        config.epochs,
    )  # fmt: skip


def sizes_of(work: TrainingJob) -> list[float]:
    """Seconds of each clip, as the model hears it."""
    return [min(example.duration_s, work.model.max_clip_s) for example in work.train]


def on_ray(job: Job, folder: Path) -> None:
    from persona_ray.launch.workers.ray_train import open_desk, run_workers

    with failing_aloud(job.address, "ray"), open_desk(lambda _: None) as desk:
        run_workers(
            _worker, {"job": job, "folder": folder, "desk": desk}, job.launch, folder, kept=1
        )


def _worker(arguments: dict[str, Any]) -> None:
    from persona_ray.launch.workers.plain import threads
    from persona_ray.launch.workers.run import RayContext
    from persona_ray.training.run_folder import RunFolder

    job, desk, run = arguments["job"], arguments["desk"], RunFolder(arguments["folder"])
    on = threading.Event()
    gate: list[Gate] = []

    class Gated(RayContext):
        def stop_requested(self) -> bool:
            gate[:] = gate or [Gate(job.address, "ray", on)]
            return gate[0].tick()

    with threads(job.launch):
        _fit(job, Gated(run, desk), on)


def in_process(job: Job, arm: str, folder: Path) -> None:
    from persona_ray.launch.workers.plain import threads
    from persona_ray.training.context import PlainContext

    with failing_aloud(job.address, arm), threads(job.launch):
        if arm == "plain":
            plain_loop(job, Gate(job.address, arm))
        else:
            on = threading.Event()
            _fit(job, PlainContext(folder, stop=Gate(job.address, arm, on).tick), on)


def _fit(job: Job, context: TrainContext, on: threading.Event) -> None:
    from persona_ray.training.finetune.run import fit

    work = job.work
    source: Any = Held(work.source, "samples", on)
    fit(work.build_model(), work.train, [], source, work.training, context, engine=work.engine)


def plain_loop(job: Job, gate: Gate) -> None:
    """What one would write without the product: forward, backward, clip, step."""
    import torch
    from torch.nn import functional as F

    from persona_ray.models.collate import collate
    from persona_ray.training.engine.base import computes_in

    work, config = job.work, job.work.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = computes_in(work.engine, device) == torch.bfloat16
    model = work.build_model().to(device)
    if config.freeze_front and model.speech is not None:
        model.speech.freeze_front()
    model.set_encoders_frozen(False)
    model.train()
    adam = torch.optim.AdamW(
        [
            {"params": model.head_parameters(), "lr": config.learning_rate},
            {
                "params": model.encoder_parameters(),
                "lr": config.encoder_learning_rate or config.learning_rate,
            },
        ],
        weight_decay=0.0,
        fused=True if device.type == "cuda" else None,
    )
    trained = [*model.head_parameters(), *model.encoder_parameters()]
    updates = course_of(work).dealt(0, 0, 1)
    while not gate.tick():
        _, _, portions = next(updates)
        count = sum(len(portion.positions) for portion in portions)
        for portion in portions:
            clips = [work.train[position] for position in portion.positions]
            waves = [work.source.samples(clip.clip_id) for clip in clips]
            texts, labels = [clip.text for clip in clips], [clip.label for clip in clips]
            batch = collate(texts, waves, labels, model, work.source.sample_rate_hz).to(device)
            assert batch.labels is not None
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                logits = model(batch)
            loss = F.cross_entropy(logits.float(), batch.labels, reduction="sum") / count
            loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.max_gradient_norm)
        adam.step()
        adam.zero_grad()
        loss.item()


def steady(work: TrainingJob, epochs: int) -> TrainingJob:
    """Epochs with the encoders, without an end in sight and without judging."""
    training = work.training.model_copy(
        update={
            "epochs": epochs, "frozen_epochs": 0, "kept_frozen": (), "decay_rate": 1.0,
            "stop_loss": 0.0, "patience": None,
        }
    )  # fmt: skip
    return replace(work, training=training, dev=(), vectors=None)
