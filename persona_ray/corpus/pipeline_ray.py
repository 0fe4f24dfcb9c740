"""The calls stage on Ray Data: one task reads the archive, actors hold recognisers.

    read the archive (task, a generator) -> packets of calls -> recognisers (actors) -> figures

Clips do not pass through Ray: an actor writes them to the staging, which for several machines
lies on a file system that they share (as the checkpoints of training do).
"""

from __future__ import annotations

import logging
import pickle
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pyarrow as pa
import ray
from ray.data import DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata

from persona_ray.asr.lazy import BuildRecognizer
from persona_ray.config import RunConfig
from persona_ray.config.corpus import CorpusConfig
from persona_ray.corpus.pending import Call, PendingCalls
from persona_ray.corpus.staging import Staging
from persona_ray.corpus.worker import CallFigures, CallWorker
from persona_ray.errors import PersonaRayError

# Calls that travel together: enough to make Ray's cost per task small beside theirs, few enough
# to keep all workers busy at the end.
_PACKET_CALLS = 4
# Read ahead this much, so that memory does not grow with the archive.
_READ_AHEAD_BYTES = 16 * 1024 * 1024
_READER_CPUS = 0.1
_WORKER_CPUS = 0.5


def stream_calls(
    config: RunConfig, staging: Staging, pending: PendingCalls, build: BuildRecognizer
) -> Iterator[CallFigures]:
    """Process the pending calls on the connected cluster; figures of each as it is committed.

    Raises the PersonaRayError that a worker or the reader raised.
    """
    with _context():
        calls = ray.data.read_datasource(
            _Packets(pending),
            override_num_blocks=1,
            num_cpus=_READER_CPUS,
        )
        figures = calls.map_batches(
            _Recogniser,
            fn_constructor_args=(config, staging, uuid.uuid4().hex, build),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                min_size=_at_once(config.corpus), max_size=config.corpus.workers
            ),
            num_cpus=_WORKER_CPUS,
            num_gpus=config.corpus.gpus_per_worker or None,
        )
        for batch in figures.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in batch.to_pylist():
                if row["error"] is not None:
                    raise pickle.loads(row["error"])
                yield CallFigures(row["audio_s"], row["recognised"])


def _at_once(config: CorpusConfig) -> int:
    """Workers that the cluster has room for now, beside the reader; more may come if it grows.

    Asking for all of them could leave the reader without a processor: nobody would ever work.
    """
    resources = ray.cluster_resources()
    room = (resources.get("CPU", 0.0) - _READER_CPUS) / _WORKER_CPUS
    if config.gpus_per_worker:
        room = min(room, resources.get("GPU", 0.0) / config.gpus_per_worker)
    return max(1, min(config.workers, int(room)))


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
                    yield _packet_table(packet)
            except PersonaRayError as error:
                # As a value: what is raised in a task comes out wrapped and lengthened by Ray.
                yield _packet_table(error)

        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(read, metadata, per_task_row_limit=per_task_row_limit)]


class _Recogniser:
    """The actor: one recogniser and speech detector for all its calls."""

    def __init__(
        self, config: RunConfig, staging: Staging, run: str, build: BuildRecognizer
    ) -> None:
        self._worker = CallWorker(config, staging, run, build)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for data in batch.column("calls").to_pylist():
            packet: list[Call] | PersonaRayError = pickle.loads(data)
            try:
                if isinstance(packet, PersonaRayError):
                    raise packet
                for call in packet:
                    yield _figures_table(self._worker.finish(call), None)
            except PersonaRayError as error:
                yield _figures_table(CallFigures(), error)


def _packet_table(packet: list[Call] | PersonaRayError) -> pa.Table:
    return pa.table({"calls": pa.array([pickle.dumps(packet)], pa.binary())})


def _figures_table(call: CallFigures, error: PersonaRayError | None) -> pa.Table:
    data = None if error is None else pickle.dumps(error)
    return pa.table(
        {
            "audio_s": [call.audio_s],
            "recognised": [call.recognised],
            "error": pa.array([data], pa.binary()),
        }
    )


@contextmanager
def _context() -> Iterator[None]:
    """Ray Data set for small blocks and silence, here alone."""
    context = DataContext.get_current().copy()
    # Every packet its own block, or the reader would collect the archive into blocks of 128 MiB.
    context.target_max_block_size = 1
    context.execution_options.resource_limits = context.execution_options.resource_limits.copy(
        object_store_memory=_READ_AHEAD_BYTES
    )
    context.execution_options.preserve_order = False
    context.enable_progress_bars = False
    context.log_internal_stack_trace_to_stdout = False
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with DataContext.current(context), warnings.catch_warnings():
            # One reader is meant, and few calls may be pending.
            warnings.filterwarnings("ignore", "The minimum number of concurrent actors")
            yield
    finally:
        logger.setLevel(level)
