"""The arms of pretraining_throughput.py: what trains, and the turns that it takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.lockstep import Address, Gate, Held, failing_aloud
from persona_ray.config import RunConfig

if TYPE_CHECKING:
    from persona_ray.objectives.base import MicroBatch, PretrainingTask
    from persona_ray.training.pretrain.settings import PretrainSettings

# More than any benchmark gets through.
EPOCHS = 300
SHUFFLED_CLIPS, PASSES = 512, 60


@dataclass(frozen=True)
class Job:
    """What an arm is told. `clips`: in one random batch, so many that it takes as much room as a
    bucketed one; `portions`: batches of an update."""

    config: RunConfig
    task: PretrainingTask
    settings: PretrainSettings
    clips: int
    portions: int
    address: Address
    cluster: str


def on_ray(job: Job, folder: Path) -> None:
    from persona_ray.launch.workers.ray_train import open_desk, run_workers

    with failing_aloud(job.address, "ray"), open_desk(lambda _: None) as desk:
        run_workers(
            _worker, {"job": job, "folder": folder, "desk": desk}, job.config.launch, folder, 1
        )


def _worker(arguments: dict[str, Any]) -> None:
    from persona_ray.launch.workers.plain import threads
    from persona_ray.launch.workers.run import RayContext
    from persona_ray.training.pretrain.run import pretrain
    from persona_ray.training.run_folder import RunFolder

    job, desk, run = arguments["job"], arguments["desk"], RunFolder(arguments["folder"])
    gate: list[Gate] = []
    on = threading.Event()
    task: Any = Held(job.task, "batch", on)

    class Gated(RayContext):
        def stop_requested(self) -> bool:
            gate[:] = gate or [Gate(job.address, "ray", on)]
            return gate[0].tick()

    with threads(job.config.launch):
        pretrain(task, job.settings, job.config.engine, Gated(run, desk), desk.put)


def in_process(job: Job, arm: str, folder: Path) -> None:
    from persona_ray.launch.workers.plain import threads

    with failing_aloud(job.address, arm), threads(job.config.launch):
        if arm == "no ray":
            without_ray(job, folder)
        elif arm == "plain":
            plain_loop(job, Gate(job.address, arm), planned(job))
        else:
            gate = Gate(job.address, arm)
            batches = random_batches(job) if arm == "random" else ray_data_batches(job)
            plain_loop(job, gate, counted(job, gate, batches))


def without_ray(job: Job, folder: Path) -> None:
    from persona_ray.training.context import PlainContext
    from persona_ray.training.pretrain.run import pretrain

    on = threading.Event()
    task: Any = Held(job.task, "batch", on)
    context = PlainContext(folder, stop=Gate(job.address, "no ray", on).tick)
    pretrain(task, job.settings, job.config.engine, context, lambda _: None)


def plain_loop(job: Job, gate: Gate, updates: Iterator[list[MicroBatch]]) -> None:
    """What one would write without the product: gradients of some batches, clip, step."""
    import torch

    from persona_ray.training.engine.base import computes_in

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = computes_in(job.config.engine, device) == torch.bfloat16
    module = job.task.build().to(device).train()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    adam = torch.optim.AdamW(trained, lr=job.settings.learning_rate, weight_decay=0.0)
    while not gate.tick():
        batches = next(updates)
        targets = {term: sum(b.counts[term] for b in batches) for term in job.task.weights}
        for batch in batches:
            inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                outputs = module(inputs)
            loss = sum(
                weight * outputs[f"{term}.loss"] / max(1, targets[term])
                for term, weight in job.task.weights.items()
            )
            loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, job.settings.max_gradient_norm)
        adam.step()
        adam.zero_grad()
        loss.item()


def planned(job: Job) -> Iterator[list[MicroBatch]]:
    """The updates of the product's own plan."""
    for _, epoch, portions in job.settings.course(job.task.sizes()).dealt(0, 0, 1):
        yield [job.task.batch(portion.positions, epoch) for portion in portions]


def counted(
    job: Job, gate: Gate, batches: Iterator[tuple[MicroBatch, int]]
) -> Iterator[list[MicroBatch]]:
    while True:
        found = [next(batches) for _ in range(job.portions)]
        update = [batch for batch, _ in found]
        gate.count(sum(clips for _, clips in found), sum(batch.size for batch in update))
        yield update


def random_batches(job: Job) -> Iterator[tuple[MicroBatch, int]]:
    count = len(job.task.sizes())
    for epoch in range(EPOCHS):
        order = np.random.default_rng(epoch).permutation(count).tolist()
        for first in range(0, count, job.clips):
            part = order[first : first + job.clips]
            yield job.task.batch(part, epoch), len(part)


@dataclass(frozen=True)
class Given:
    """The clips of one batch as a sample source."""

    clips: Mapping[str, Any]
    sample_rate_hz: int

    def samples(self, clip_id: str) -> Any:
        return self.clips[clip_id]

    def digest(self, clip_id: str) -> str:
        raise NotImplementedError


def ray_data_batches(job: Job) -> Iterator[tuple[MicroBatch, int]]:
    """Shards read and decoded in Ray tasks, shuffled in a buffer, two batches ahead. One long
    execution: starting one for each of a small corpus' passes would cost more than reading."""
    import ray

    if not ray.is_initialized():
        ray.init(address=job.cluster, log_to_driver=False, logging_level="ERROR")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # One task and little ahead: this machine's processors are for training.
    limits = context.execution_options.resource_limits
    context.execution_options.resource_limits = limits.copy(cpu=1, object_store_memory=128 << 20)
    task: Any = job.task
    places = {clip_id: place for place, clip_id in enumerate(task.clip_ids)}
    shards = [str(task.source.path / shard.name) for shard in task.source.manifest.clip_shards]
    clips = ray.data.read_parquet(shards * PASSES, columns=["clip_id", "audio"]).map_batches(
        _decoded, batch_size=64, batch_format="pyarrow"
    )
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    for rows in clips.iter_batches(
        batch_size=job.clips,
        prefetch_batches=2,
        local_shuffle_buffer_size=SHUFFLED_CLIPS,
        local_shuffle_seed=0,
        batch_format="pyarrow",
    ):
        ids = rows.column("clip_id").to_pylist()
        waves = [np.frombuffer(wave, np.float32) for wave in rows.column("wave").to_pylist()]
        given = Given(dict(zip(ids, waves, strict=True)), task.source.sample_rate_hz)
        yield replace(task, source=given).batch([places[clip_id] for clip_id in ids], 0), len(ids)


def _decoded(rows: Any) -> Any:
    import pyarrow as pa

    from persona_ray.audio.coding import decode_flac

    waves = [decode_flac(audio)[0].tobytes() for audio in rows.column("audio").to_pylist()]
    return pa.table({"clip_id": rows.column("clip_id"), "wave": pa.array(waves, pa.large_binary())})
