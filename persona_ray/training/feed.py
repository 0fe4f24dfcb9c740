"""The updates in order.

Beside a GPU they are made ready in the background while the model works on the one before. On
processors they are made when they are asked for: a second thread would only take them from the
model, whose own threads wait for the slowest.
"""

from __future__ import annotations

import queue
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from persona_ray.errors import TrainingError
from persona_ray.objectives.base import MicroBatch, PretrainingTask
from persona_ray.training.plan import Portion, count_updates, deal, plan_updates
from persona_ray.training.pretrain.context import PretrainContext
from persona_ray.training.pretrain.settings import PretrainSettings

# Updates that wait ready: one is enough where batches are made faster than they are used.
AHEAD = 2


@dataclass(frozen=True, slots=True)
class Ready:
    """This rank's part of an update (`number` from 1)."""

    number: int
    portions: tuple[Portion, ...]
    batches: tuple[MicroBatch, ...]

    def count(self, term: str) -> int:
        return sum(batch.counts[term] for _, batch in self._counted())

    @property
    def size(self) -> float:
        return sum(batch.size for _, batch in self._counted())

    @property
    def padded(self) -> float:
        return sum(batch.padded for batch in self.batches)

    def _counted(self) -> list[tuple[Portion, MicroBatch]]:
        pairs = zip(self.portions, self.batches, strict=True)
        return [(portion, batch) for portion, batch in pairs if portion.counts]


class Course:
    """All updates of a run, numbered from 1."""

    def __init__(self, task: PretrainingTask, settings: PretrainSettings) -> None:
        self._sizes: Sequence[float] = task.sizes()
        self._settings = settings
        if not len(self._sizes):
            raise TrainingError(
                f"pretraining {settings.name}: no item to learn from; build the corpus first "
                "(persona-ray corpus), or name files"
            )
        counts = count_updates(self._sizes, settings.update_size, settings.seed, settings.epochs)
        self._ends = list(accumulate(counts))

    @property
    def updates(self) -> int:
        return self._ends[-1]

    def epoch(self, done: int) -> float:
        """Passes over the data after `done` updates."""
        epoch = bisect_right(self._ends, done)
        if epoch == len(self._ends):
            return float(epoch)
        start = self._ends[epoch - 1] if epoch else 0
        return epoch + (done - start) / (self._ends[epoch] - start)

    def dealt(
        self, done: int, rank: int, world_size: int
    ) -> Iterator[tuple[int, int, tuple[Portion, ...]]]:
        """(number, epoch, this rank's portions) of the updates after the first `done`."""
        settings = self._settings
        first = bisect_right(self._ends, done)
        for epoch in range(first, settings.epochs):
            start = self._ends[epoch - 1] if epoch else 0
            updates = plan_updates(self._sizes, settings.update_size, settings.seed, epoch)
            for at in range(max(0, done - start), len(updates)):
                ranks = deal(updates[at], self._sizes, world_size, settings.micro_size)
                yield start + at + 1, epoch, ranks[rank]


class Feed:
    """Iterable of `Ready`. Use it as a context manager: leaving it ends the thread."""

    def __init__(
        self, task: PretrainingTask, course: Course, context: PretrainContext, done: int
    ) -> None:
        self._task = task
        self._dealt = course.dealt(done, context.rank, context.world_size)
        self._device = context.device
        self._beside = context.device.type != "cpu"
        self._ready: queue.Queue[Ready | BaseException | None] = queue.Queue(AHEAD)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)

    def __enter__(self) -> Feed:
        if self._beside:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._left.set()
        if self._beside:
            self._thread.join()

    def __iter__(self) -> Iterator[Ready]:
        if not self._beside:
            yield from self._made()
            return
        while (ready := self._ready.get()) is not None:
            if isinstance(ready, BaseException):
                raise ready
            yield ready

    def _made(self) -> Iterator[Ready]:
        for number, epoch, portions in self._dealt:
            yield Ready(number, portions, tuple(self._batch(part, epoch) for part in portions))

    def _work(self) -> None:
        try:
            if self._device.type == "cuda":
                # A thread begins on the first GPU, and would keep memory on it.
                torch.cuda.set_device(self._device)
            for ready in self._made():
                if not self._put(ready):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _batch(self, portion: Portion, epoch: int) -> MicroBatch:
        batch = self._task.batch(portion.positions, epoch)
        if self._device.type != "cuda":
            return batch
        inputs = {name: tensor.pin_memory() for name, tensor in batch.inputs.items()}
        return MicroBatch(inputs, batch.counts, batch.size, batch.padded)

    def _put(self, ready: Ready | BaseException | None) -> bool:
        while not self._left.is_set():
            try:
                self._ready.put(ready, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


def to_device(batch: MicroBatch, device: torch.device) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.inputs.items()}
