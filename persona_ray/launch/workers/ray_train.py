"""What every training on Ray Train shares: how workers are asked for, and how they are heard."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import TrainingError

if TYPE_CHECKING:
    import torch
    from ray.train import Result

T = TypeVar("T")

# How often the driver empties the desk, and a worker looks whether it is to stop.
LOOK_EVERY_S = 0.3


class Desk:
    """A worker's side of an actor in the driver's node: news go to the driver, and it may ask the
    workers to stop. Where the desk is gone the driver is, and the workers are to stop as well."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def put(self, news: object) -> None:
        import ray

        try:
            ray.get(self._actor.put.remote(news))
        except ray.exceptions.RayActorError:
            logging.getLogger(__name__).warning("nobody listens to this training any more")

    def stopping(self) -> bool:
        import ray

        try:
            return bool(ray.get(self._actor.stopping.remote()))
        except ray.exceptions.RayActorError:
            return True

    def stop(self) -> None:
        """Ask the workers to leave a checkpoint and to end; returns at once."""
        self._actor.stop.remote()

    def close(self) -> None:
        import ray

        ray.kill(self._actor)


class _DeskActor:
    """Held by the driver; the list is emptied by each `take`."""

    def __init__(self) -> None:
        self._news: list[Any] = []
        self._stopping = False

    def put(self, news: Any) -> None:
        self._news.append(news)

    def take(self) -> list[Any]:
        taken, self._news = self._news, []
        return taken

    def stop(self) -> None:
        self._stopping = True

    def stopping(self) -> bool:
        return self._stopping


class RayWorker:
    """What `persona_ray.training.context.Worker` asks for, inside a Ray Train worker."""

    def __init__(self) -> None:
        from ray import train

        context = train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()

    @property
    def device(self) -> torch.device:
        from ray.train.torch import get_device

        device: torch.device = get_device()
        return device


def each_once(tell: Callable[[T], None], number: Callable[[T], int]) -> Callable[[T], None]:
    """`tell` of news whose `number`, from 1, is higher than all before: after a lost worker what
    was told may come again."""
    highest = 0

    def tell_once(news: T) -> None:
        nonlocal highest
        if number(news) > highest:
            highest = number(news)
            tell(news)

    return tell_once


@contextmanager
def open_desk(on_news: Callable[[Any], None]) -> Iterator[Desk]:
    """A desk whose news are handed to `on_news` in order, in a thread of the driver.

    What `on_news` raises ends the block when it is left; the news after it are not handed over.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Beside the driver: a lost node must not take it away.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, scheduling_strategy=here)(_DeskActor).remote()
    desk = Desk(actor)
    done = threading.Event()
    failures: list[Exception] = []

    def drain() -> None:
        for news in ray.get(actor.take.remote()):
            if not failures:
                try:
                    on_news(news)
                except Exception as error:
                    failures.append(error)

    def listen() -> None:
        # Without Ray's message where the driver leaves in a hurry.
        with suppress(ray.exceptions.RayError):
            while not done.wait(LOOK_EVERY_S):
                drain()

    # What is told belongs to the stage that is open here.
    context = contextvars.copy_context()
    listener = threading.Thread(target=context.run, args=(listen,), daemon=True)
    listener.start()
    try:
        yield desk
        done.set()
        listener.join()
        drain()
    finally:
        done.set()
        listener.join()
        desk.close()
    if failures:
        raise failures[0]


def run_workers(
    loop: Callable[[dict[str, Any]], object],
    arguments: dict[str, Any],
    launch: LaunchConfig,
    folder: Path,
    kept: int,
    elastic: bool = False,
) -> Result:
    """Run `loop(arguments)` in every worker of the connected cluster.

    Ray keeps its books and the newest `kept` reported checkpoints in `folder` (for several
    machines: on a file system they share). With `elastic`, as many workers as there is room for
    take part, from `launch.min_workers` on. Raises TrainingError when they cannot go on.
    """
    from ray.train import (
        CheckpointConfig,
        FailureConfig,
        LoggingConfig,
        RunConfig,
        ScalingConfig,
        TrainingFailedError,
    )
    from ray.train.torch import TorchTrainer

    from persona_ray.launch.workers.torch_group import AtRaysAddresses

    folder.mkdir(parents=True, exist_ok=True)
    least = launch.min_workers if elastic else None
    wanted = {"CPU": launch.cpus_per_worker}
    trainer = TorchTrainer(
        loop,
        train_loop_config=arguments,
        torch_config=AtRaysAddresses(),
        scaling_config=ScalingConfig(
            num_workers=launch.workers if least is None else (least, launch.workers),
            use_gpu=launch.gpus_per_worker > 0,
            resources_per_worker=wanted
            | ({"GPU": launch.gpus_per_worker} if launch.gpus_per_worker else {}),
        ),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(folder.absolute().parent),
            checkpoint_config=CheckpointConfig(num_to_keep=kept),
            failure_config=FailureConfig(max_failures=launch.max_failures),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        return trainer.fit()
    except TrainingFailedError as error:
        raise TrainingError(f"training on Ray failed: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    """The worker's own message: the last line that is not Ray's."""
    failures: Mapping[int, Exception] = getattr(error, "worker_failures", {})
    causes = list(failures.values()) or [error]
    logging.getLogger(__name__).debug("training failed", exc_info=error)
    return str(causes[0]).strip().splitlines()[-1]
