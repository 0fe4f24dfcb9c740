"""One pretraining run, on Ray Train or in this process: from a task to trained weights.

Both leave the same folder (`persona_ray.training.run_folder`): a rerun goes on from the newest
checkpoint, wherever and however the run before it ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.config.learning import LaunchConfig
from persona_ray.config.pretraining import EngineConfig
from persona_ray.errors import TrainingError
from persona_ray.launch.plain import in_this_process, threads
from persona_ray.launch.stopping import stop_on_signal
from persona_ray.launch.train_workers import (
    LOOK_EVERY_S,
    Desk,
    RayWorker,
    each_once,
    open_desk,
    run_workers,
)
from persona_ray.training.run_folder import KEPT, RunFolder, Write

if TYPE_CHECKING:
    from persona_ray.objectives.base import PretrainingTask
    from persona_ray.training.pretrain.curve import Curve, CurvePoint
    from persona_ray.training.pretrain.settings import PretrainSettings

# Ray's books of an earlier session; checkpoints are found without them.
_RAYS_BOOKS = "checkpoint_manager_snapshot.json"


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

    run = _opened(folder.absolute())
    news = open_desk(each_once(on_point, lambda point: point.update))
    # A stop is raised behind the desk, which hands over the last news first.
    with stop_on_signal() as stop, news as desk:
        arguments = {
            "task": ray.put(task),
            "settings": settings,
            "engine": engine,
            "launch": launch,
            "run": run,
            "desk": desk,
        }
        # In another thread, because this one hears signals, at which Ray would end all at once.
        fitting = _beside(
            lambda: run_workers(_worker, arguments, launch, run.path, KEPT, elastic=True)
        )
        asked = False
        while not fitting.done():
            wait([fitting], timeout=LOOK_EVERY_S)
            if stop.is_set() and not asked:
                asked = True
                desk.stop()
        curve = Curve.from_json(fitting.result().return_value)
    return _trained(curve, run)


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

    run = _opened(folder)
    with in_this_process(launch), stop_on_signal() as stop:
        context = PlainPretrainContext(folder, stop=stop.is_set)
        curve = pretrain(task, settings, engine, context, on_point)
    return _trained(curve, run)


class RayPretrainContext(RayWorker):
    """What `persona_ray.training.pretrain.context.PretrainContext` asks for, in a Ray worker."""

    def __init__(self, run: RunFolder, desk: Desk) -> None:
        super().__init__()
        self._run = run
        self._written: Future[None] | None = None
        self._stopping = threading.Event()
        if self.rank == 0:
            threading.Thread(target=self._look, args=(desk,), name="desk", daemon=True).start()

    def restore(self) -> Path | None:
        """What rank 0 finds in the folder: Ray's own books lack what was written, but not yet
        reported, when the driver or a worker died."""
        from ray.train.collective import broadcast_from_rank_zero

        found: Path | None = broadcast_from_rank_zero(
            self._run.newest() if self.rank == 0 else None
        )
        return found

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
                self._run.write(self._run.path / name, write)
            except BaseException as error:
                written.set_exception(error)
                raise
            written.set_result(None)
            return Checkpoint.from_directory(str(self._run.path / name))

        train.report(
            dict(metrics),
            # `upload` makes the files where they are to lie; there is nothing to copy from.
            checkpoint=Checkpoint.from_directory(str(self._run.path)),
            checkpoint_dir_name=self._run.next().name,
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


def _worker(config: dict[str, Any]) -> dict[str, Any]:
    import ray

    from persona_ray.training.pretrain.run import pretrain

    task: PretrainingTask = ray.get(config["task"])
    desk: Desk = config["desk"]
    context = RayPretrainContext(config["run"], desk)

    def tell(point: CurvePoint) -> None:
        if context.rank == 0:
            desk.put(point)

    with threads(config["launch"]):
        curve = pretrain(task, config["settings"], config["engine"], context, tell)
    return curve.as_json()


def _opened(folder: Path) -> RunFolder:
    """Without what runs that were killed left beside their newest checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _RAYS_BOOKS).unlink(missing_ok=True)
    run = RunFolder(folder)
    run.tidy()
    return run


def _trained(curve: Curve, run: RunFolder) -> Trained:
    newest = run.newest()
    if not curve.complete or newest is None:
        raise TrainingError(
            f"pretraining {curve.name} ended before its {curve.updates} updates were done: run it "
            f"again to go on from {newest or 'the start'}"
        )
    return Trained(curve, newest)


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
