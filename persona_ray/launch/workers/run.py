"""A training run, on Ray Train or in this process, whatever is trained.

Both leave the same folder (`persona_ray.training.run_folder`): a rerun goes on from the newest
checkpoint, wherever and however the run before it ended.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from persona_ray.config.learning import LaunchConfig
from persona_ray.launch.workers.plain import in_this_process, threads
from persona_ray.launch.workers.ray_train import (
    LOOK_EVERY_S,
    Desk,
    RayWorker,
    each_once,
    open_desk,
    run_workers,
)
from persona_ray.launch.workers.stopping import stop_on_signal
from persona_ray.training.run_folder import KEPT, RunFolder, Write
from persona_ray.watch import spans

if TYPE_CHECKING:
    from persona_ray.training.context import TrainContext

# Ray's books of an earlier session; checkpoints are found without them.
_RAYS_BOOKS = "checkpoint_manager_snapshot.json"

NewsT = TypeVar("NewsT")
WorkT = TypeVar("WorkT")
# What every worker does with the work, told where it runs and whom to tell news (rank 0's count);
# rank 0's answer is the run's.
Body = Callable[[WorkT, "TrainContext", Callable[[NewsT], None]], Any]


def run_on_ray(
    body: Body[WorkT, NewsT],
    work: WorkT,
    launch: LaunchConfig,
    folder: Path,
    on_news: Callable[[NewsT], None],
    number: Callable[[NewsT], int],
) -> Any:
    """Run `body` in workers of the connected cluster; its answer. `body` and `work` are picklable.

    `folder` must lie on a file system that all nodes share. News whose `number` was told before
    (after a lost worker) are not told again. SIGTERM or SIGINT makes the workers leave a
    checkpoint, then raises KeyboardInterrupt; a second one does not wait. Raises TrainingError when
    the workers cannot go on.
    """
    import ray

    run = _opened(folder.absolute())
    news = open_desk(each_once(on_news, number))
    # A stop is raised behind the desk, which hands over the last news first.
    with stop_on_signal() as stop, news as desk:
        arguments = {
            "body": body,
            "work": ray.put(work),
            "launch": launch,
            "run": run,
            "desk": desk,
            "place": spans.carried(),
        }
        # In another thread, because this one hears signals, at which Ray would end all at once.
        fitting = beside(
            lambda: run_workers(_worker, arguments, launch, run.path, KEPT, elastic=True)
        )
        asked = False
        while not fitting.done():
            wait([fitting], timeout=LOOK_EVERY_S)
            if stop.is_set() and not asked:
                asked = True
                desk.stop()
        return fitting.result().return_value


def run_here(
    body: Body[WorkT, NewsT],
    work: WorkT,
    launch: LaunchConfig,
    folder: Path,
    on_news: Callable[[NewsT], None],
) -> Any:
    """`run_on_ray` in this process, without Ray."""
    from persona_ray.training.context import PlainContext

    _opened(folder)
    with in_this_process(launch), stop_on_signal() as stop:
        return body(work, PlainContext(folder, stop=stop.is_set), on_news)


class RayContext(RayWorker):
    """What `persona_ray.training.context.TrainContext` asks for, in a Ray worker."""

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


def _worker(config: dict[str, Any]) -> Any:
    import ray

    desk: Desk = config["desk"]
    context = RayContext(config["run"], desk)

    def tell(news: object) -> None:
        if context.rank == 0:
            desk.put(news)

    place = spans.continued(config["place"], "worker", rank=context.rank)
    try:
        with threads(config["launch"]), place:
            return config["body"](ray.get(config["work"]), context, tell)
    finally:
        # Ray ends the process at once.
        spans.flush()


def _opened(folder: Path) -> RunFolder:
    """Without what runs that were killed left beside their newest checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _RAYS_BOOKS).unlink(missing_ok=True)
    run = RunFolder(folder)
    run.tidy()
    return run


def beside(call: Callable[[], Any]) -> Future[Any]:
    """`call` in a thread that does not keep the process alive."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="training", daemon=True).start()
    return future
