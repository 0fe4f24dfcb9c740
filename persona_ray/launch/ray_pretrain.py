"""Continued pretraining on Ray Train, or in this process: from a task to trained weights.

Checkpoints lie in the run's folder as `checkpoint-000007`, each made whole by a rename, the same
for Ray and for one process: a rerun goes on from the newest, wherever and however the run before
it ended.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from persona_ray.config.learning import LaunchConfig
from persona_ray.config.pretraining import EngineConfig
from persona_ray.errors import ConfigError, TrainingError
from persona_ray.launch.plain import threads
from persona_ray.launch.train_workers import LOOK_EVERY_S, Desk, open_desk, run_workers

if TYPE_CHECKING:
    import torch

    from persona_ray.objectives.base import PretrainingTask
    from persona_ray.training.pretrain.context import Write
    from persona_ray.training.pretrain.curve import Curve, CurvePoint
    from persona_ray.training.pretrain.settings import PretrainSettings

KEPT = 2
# Ray's books of an earlier session; checkpoints are found without them.
_RAYS_BOOKS = "checkpoint_manager_snapshot.json"


class RayPretrainContext:
    """What `persona_ray.training.pretrain.context.PretrainContext` asks for, in a Ray worker."""

    def __init__(self, folder: Path, desk: Desk) -> None:
        """`folder` of the run."""
        from ray import train

        context = train.get_context()
        self._rank: int = context.get_world_rank()
        self._world_size: int = context.get_world_size()
        self._folder = folder
        self._written: Future[None] | None = None
        self._stopping = threading.Event()
        if self._rank == 0:
            threading.Thread(target=self._look, args=(desk,), name="desk", daemon=True).start()

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def world_size(self) -> int:
        return self._world_size

    @property
    def device(self) -> torch.device:
        from ray.train.torch import get_device

        device: torch.device = get_device()
        return device

    def restore(self) -> Path | None:
        """What rank 0 finds in the folder: Ray's own books lack what was written, but not yet
        reported, when the driver or a worker died."""
        from ray.train.collective import broadcast_from_rank_zero

        newest = None
        if self._rank == 0:
            found = checkpoints(self._folder)
            newest = str(found[-1]) if found else None
        newest = broadcast_from_rank_zero(newest)
        return None if newest is None else Path(newest)

    def save(self, metrics: Mapping[str, float], write: Write | None) -> None:
        from ray import train
        from ray.train import Checkpoint, CheckpointUploadMode

        if write is None:
            train.report(dict(metrics), checkpoint_upload_mode=CheckpointUploadMode.ASYNC)
            return
        # One checkpoint in memory at a time: a slow disk holds the training up, not the memory.
        self.finish()
        written = self._written = Future()

        def upload(_: Checkpoint, name: str) -> Checkpoint:
            """Ray calls this in a thread of its own, beside the training."""
            try:
                _write_whole(self._folder / name, write)
            except BaseException as error:
                written.set_exception(error)
                raise
            written.set_result(None)
            return Checkpoint.from_directory(str(self._folder / name))

        train.report(
            dict(metrics),
            # `upload` makes the files where they are to lie; there is nothing to copy from.
            checkpoint=Checkpoint.from_directory(str(self._folder)),
            checkpoint_dir_name=_next_name(self._folder),
            checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
            checkpoint_upload_fn=upload,
            delete_local_checkpoint_after_upload=False,
        )

    def stop_requested(self) -> bool:
        return self._stopping.is_set()

    def finish(self) -> None:
        if self._written is not None:
            written, self._written = self._written, None
            written.result()

    def _look(self, desk: Desk) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            if desk.stopping():
                self._stopping.set()


@dataclass(frozen=True, slots=True)
class Trained:
    """`checkpoint` holds the weights after the last update."""

    curve: Curve
    checkpoint: Path


def pretrain_on_ray(
    task: PretrainingTask,
    settings: PretrainSettings,
    engine: EngineConfig,
    launch: LaunchConfig,
    folder: Path,
    on_point: Callable[[CurvePoint], None],
) -> Trained:
    """Run `persona_ray.training.pretrain` in workers of the connected cluster.

    `folder` must lie on a file system that all nodes share. SIGTERM or SIGINT makes the workers
    leave a checkpoint, then raises KeyboardInterrupt; a second one does not wait. Raises
    TrainingError when the workers cannot go on.
    """
    import ray

    from persona_ray.training.pretrain.curve import Curve

    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    _tidy(folder)
    told = 0

    def tell(point: CurvePoint) -> None:
        nonlocal told
        # After a lost worker a point may come again.
        if point.update > told:
            told = point.update
            on_point(point)

    with open_desk(tell) as desk, _on_signal() as stop:
        arguments = {
            "task": ray.put(task),
            "settings": settings,
            "engine": engine,
            "launch": launch,
            "folder": folder,
            "desk": desk,
        }
        # In another thread, because this one hears signals, at which Ray would end all at once.
        fitting = _beside(
            lambda: run_workers(_worker, arguments, launch, folder, KEPT, elastic=True)
        )
        asked = False
        while not fitting.done():
            wait([fitting], timeout=LOOK_EVERY_S)
            if stop.is_set() and not asked:
                asked = True
                desk.stop()
        curve = Curve.from_json(fitting.result().return_value)
    return _trained(curve, folder, stop)


def pretrain_plain(
    task: PretrainingTask,
    settings: PretrainSettings,
    engine: EngineConfig,
    launch: LaunchConfig,
    folder: Path,
    on_point: Callable[[CurvePoint], None],
) -> Trained:
    """`pretrain_on_ray` in this process, without Ray."""
    from persona_ray.training.pretrain.context import PlainPretrainContext
    from persona_ray.training.pretrain.run import pretrain

    if launch.workers > 1:
        raise ConfigError(
            f"launch.workers {launch.workers} needs launch.backend ray: plain is one process"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _tidy(folder)
    with threads(launch), _on_signal() as stop:
        context = PlainPretrainContext(folder, stop=stop.is_set)
        curve = pretrain(task, settings, engine, context, on_point)
    return _trained(curve, folder, stop)


def _worker(config: dict[str, Any]) -> dict[str, Any]:
    import ray

    from persona_ray.training.pretrain.run import pretrain

    task: PretrainingTask = ray.get(config["task"])
    desk: Desk = config["desk"]
    context = RayPretrainContext(config["folder"], desk)

    def tell(point: CurvePoint) -> None:
        if context.rank == 0:
            desk.put(point)

    with threads(config["launch"]):
        curve = pretrain(task, config["settings"], config["engine"], context, tell)
    return curve.as_json()


def _trained(curve: Curve, folder: Path, stop: threading.Event) -> Trained:
    if stop.is_set():
        raise KeyboardInterrupt
    found = checkpoints(folder)
    if not curve.complete or not found:
        raise TrainingError(
            f"pretraining {curve.name} ended before its {curve.updates} updates were done: run it "
            f"again to go on from {found[-1] if found else 'the start'}"
        )
    return Trained(curve, found[-1])


def checkpoints(folder: Path) -> list[Path]:
    """The whole ones, oldest first."""
    return sorted(folder.glob("checkpoint-*"))


def _next_name(folder: Path) -> str:
    found = checkpoints(folder)
    return f"checkpoint-{int(found[-1].name.split('-')[1]) + 1 if found else 0:06d}"


def _write_whole(path: Path, write: Write) -> None:
    # Its own name: a worker that was given up may still be writing.
    half = path.with_name(f"writing-{uuid.uuid4().hex}")
    half.mkdir()
    try:
        write(half)
        # Whole or absent, whenever the process is killed.
        half.replace(path)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Remove what runs that were killed left beside their newest checkpoints."""
    (folder / _RAYS_BOOKS).unlink(missing_ok=True)
    for path in (*folder.glob("writing-*"), *checkpoints(folder)[:-KEPT]):
        shutil.rmtree(path, ignore_errors=True)


def _beside(call: Callable[[], Any]) -> Future[Any]:
    """`call` in a thread that does not keep the process alive."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="training", daemon=True).start()
    return future


@contextmanager
def _on_signal() -> Iterator[threading.Event]:
    """Set by the first SIGTERM (`ray job stop`) or SIGINT inside the block; the second raises
    KeyboardInterrupt. Outside the main thread, which alone hears signals, it stays unset."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def hear(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        name = signal.Signals(number).name
        print(
            f"{name}: a checkpoint is written, then the run ends; the same command goes on",
            file=sys.stderr,
            flush=True,
        )

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, hear) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
