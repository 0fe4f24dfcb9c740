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
from typing import Protocol

import torch

from persona_ray.errors import TrainingError
from persona_ray.objectives.base import MicroBatch
from persona_ray.training.context import Worker
from persona_ray.training.plan import Portion, count_updates, deal, plan_updates

# Updates that wait ready: one is enough where batches are made faster than they are used.
AHEAD = 2


class Items(Protocol):
    """What batches are made of; a pretraining task is such."""

    def batch(self, positions: Sequence[int], epoch: int) -> MicroBatch:
        """The items at `positions` in `epoch` (from 0), on the CPU."""
        ...


@dataclass(frozen=True, slots=True)
class Ready:
    """This rank's part of an update (`number` from 1, `epoch` from 0)."""

    number: int
    epoch: int
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
    """All updates of a run over items of given `sizes`, numbered from 1.

    An update takes up to `update_size`, a portion of one worker up to `micro_size`, padding
    included. Raises TrainingError for no item.
    """

    def __init__(
        self,
        name: str,
        sizes: Sequence[float],
        update_size: float,
        micro_size: float,
        seed: int,
        epochs: int,
    ) -> None:
        self._sizes = sizes
        self._update_size, self._micro_size, self._seed = update_size, micro_size, seed
        if not len(self._sizes):
            raise TrainingError(
                f"{name}: no item to learn from; build the corpus first (persona-ray corpus), or "
                "name files"
            )
        self._ends = list(accumulate(count_updates(sizes, update_size, seed, epochs)))

    @property
    def updates(self) -> int:
        return self._ends[-1]

    def end(self, epoch: int) -> int:
        """The last update of the first `epoch` epochs."""
        return self._ends[epoch - 1] if epoch else 0

    def epoch(self, done: int) -> float:
        """Passes over the data after `done` updates."""
        epoch = bisect_right(self._ends, done)
        if epoch == len(self._ends):
            return float(epoch)
        start = self.end(epoch)
        return epoch + (done - start) / (self._ends[epoch] - start)

    def dealt(
        self, done: int, rank: int, world_size: int, until: int | None = None
    ) -> Iterator[tuple[int, int, tuple[Portion, ...]]]:
        """(number, epoch from 0, this rank's portions) of the updates after the first `done`, to
        the end of the first `until` epochs (None: of all)."""
        first = bisect_right(self._ends, done)
        for epoch in range(first, len(self._ends) if until is None else until):
            start = self.end(epoch)
            updates = plan_updates(self._sizes, self._update_size, self._seed, epoch)
            for at in range(max(0, done - start), len(updates)):
                ranks = deal(updates[at], self._sizes, world_size, self._micro_size)
                yield start + at + 1, epoch, ranks[rank]


class Feed:
    """Iterable of `Ready`. Use it as a context manager: leaving it ends the thread."""

    def __init__(
        self,
        items: Items,
        course: Course,
        worker: Worker,
        done: int,
        until: int | None = None,
    ) -> None:
        self._items = items
        self._dealt = course.dealt(done, worker.rank, worker.world_size, until)
        self._device = worker.device
        self._beside = worker.device.type != "cpu"
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
            batches = tuple(self._batch(part, epoch) for part in portions)
            yield Ready(number, epoch, portions, batches)

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
        batch = self._items.batch(portion.positions, epoch)
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
