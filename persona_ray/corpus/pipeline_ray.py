"""The calls stage of a job on Ray Data: one task reads the archive, actors hold the models.

    read the archive (task, a generator) -> packets of calls -> workers (actors) -> figures

What becomes of a call does not pass through Ray: an actor writes it to the staging, which for
several machines lies on a file system that they share (as the checkpoints of training do).
"""

from __future__ import annotations

import logging
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import ray
from ray.data import DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata

from persona_ray.corpus.pending import Call, PendingCalls
from persona_ray.errors import PersonaRayError
from persona_ray.watch import spans

FiguresT = TypeVar("FiguresT")
FiguresT_co = TypeVar("FiguresT_co", covariant=True)

# Calls that travel together: enough to make Ray's cost per task small beside theirs, few enough
# to keep all workers busy at the end.
_PACKET_CALLS = 4
# Read ahead this much, so that memory does not grow with the archive.
_READ_AHEAD_BYTES = 16 * 1024 * 1024
_READER_CPUS = 0.1
_WORKER_CPUS = 0.5


class Worker(Protocol[FiguresT_co]):
    """Takes a call and commits what became of it."""

    def finish(self, call: Call) -> FiguresT_co:
        """What the call adds to the figures of the job. PersonaRayError ends the job."""
        ...


@dataclass(frozen=True, slots=True)
class Pool:
    """At most so many workers side by side; `gpus` of one worker, a share is fine."""

    workers: int
    gpus: float = 0.0


def stream_calls(
    pending: PendingCalls, make: Callable[[], Worker[FiguresT]], pool: Pool
) -> Iterator[FiguresT]:
    """Process the pending calls on the connected cluster; figures of each as it is committed.

    Each actor makes a worker of its own by `make`, which is pickled, as figures are. Raises the
    PersonaRayError that a worker or the reader raised.
    """
    with quiet_data(_small_blocks()), warnings.catch_warnings():
        # One reader is meant, and few calls may be pending.
        warnings.filterwarnings("ignore", "The minimum number of concurrent actors")
        calls = ray.data.read_datasource(
            _Packets(pending),
            override_num_blocks=1,
            num_cpus=_READER_CPUS,
        )
        figures = calls.map_batches(
            _Actor,
            fn_constructor_args=(make, spans.carried()),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=_at_once(pool), max_size=pool.workers),
            num_cpus=_WORKER_CPUS,
            num_gpus=pool.gpus or None,
        )
        for batch in figures.iter_batches(batch_size=None, batch_format="pyarrow"):
            for data in batch.column("figures").to_pylist():
                found = pickle.loads(data)
                if isinstance(found, PersonaRayError):
                    raise found
                yield found


def _at_once(pool: Pool) -> int:
    """Workers that the cluster has room for now, beside the reader; more may come if it grows.

    Asking for all of them could leave the reader without a processor: nobody would ever work.
    """
    resources = ray.cluster_resources()
    room = (resources.get("CPU", 0.0) - _READER_CPUS) / _WORKER_CPUS
    if pool.gpus:
        room = min(room, resources.get("GPU", 0.0) / pool.gpus)
    return max(1, min(pool.workers, int(room)))


class _Packets(Datasource):  # type: ignore[misc]
    """Pending calls as packets: one row, one packet, one block."""

    def __init__(self, pending: PendingCalls) -> None:
        super().__init__()
        self._pending = pending

    def estimate_inmemory_data_size(self) -> int | None:
        """Not known before the archive is read."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        """One task: pages are found one after the other."""
        pending = self._pending

        def read() -> Iterator[pa.Table]:
            calls = iter(pending)
            try:
                while packet := list(islice(calls, _PACKET_CALLS)):
                    yield _table("calls", packet)
            except PersonaRayError as error:
                # As a value: what is raised in a task comes out wrapped and lengthened by Ray.
                yield _table("calls", error)

        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(read, metadata, per_task_row_limit=per_task_row_limit)]


class _Actor:
    """One worker for all calls that come to it."""

    def __init__(self, make: Callable[[], Worker[Any]], place: spans.Carried) -> None:
        self._place = place
        with spans.continued(place, "worker starts"):
            self._worker = make()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for data in batch.column("calls").to_pylist():
            packet: list[Call] | PersonaRayError = pickle.loads(data)
            begun = time.perf_counter()
            try:
                if isinstance(packet, PersonaRayError):
                    raise packet
                for call in packet:
                    yield _table("figures", self._worker.finish(call))
                seconds = time.perf_counter() - begun
                spans.passed("batch", seconds, self._place, calls=len(packet))
            except PersonaRayError as error:
                yield _table("figures", error)
            # Ray ends the process without its own doing.
            spans.flush()


def _table(column: str, value: object) -> pa.Table:
    return pa.table({column: pa.array([pickle.dumps(value)], pa.binary())})


@contextmanager
def quiet_data(context: DataContext) -> Iterator[None]:
    """Ray Data as `context` says, within the block; it shows no progress of its own, nor what it
    executes, in the middle of ours."""
    context.enable_progress_bars = False
    context.log_internal_stack_trace_to_stdout = False
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with DataContext.current(context):
            yield
    finally:
        logger.setLevel(level)


def _small_blocks() -> DataContext:
    context = DataContext.get_current().copy()
    # Every packet its own block, or the reader would collect the archive into blocks of 128 MiB.
    context.target_max_block_size = 1
    context.execution_options.resource_limits = context.execution_options.resource_limits.copy(
        object_store_memory=_READ_AHEAD_BYTES
    )
    context.execution_options.preserve_order = False
    return context
