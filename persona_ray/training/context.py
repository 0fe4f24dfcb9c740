"""All that a loop knows of where it runs, and the case without a launcher."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from persona_ray.training.run_folder import RunFolder, Write

if TYPE_CHECKING:
    import torch


class Worker(Protocol):
    """One of the processes that train together.

    Where `world_size` > 1 the launcher has set up torch's default process group.
    """

    @property
    def rank(self) -> int: ...

    @property
    def world_size(self) -> int: ...

    @property
    def device(self) -> torch.device: ...


class TrainContext(Worker, Protocol):
    """One worker's view of a run."""

    def restore(self) -> Path | None:
        """The folder of the newest whole checkpoint, the same on every rank; None: start anew."""
        ...

    def save(self, metrics: Mapping[str, float], write: Write | None) -> None:
        """Called by every rank after the same updates. Rank 0 brings `write`, which fills an empty
        folder and may be called later, from another thread; the other ranks bring None."""
        ...

    def stop_requested(self) -> bool:
        """Whether this rank has been asked to stop. The loop agrees on it over all ranks."""
        ...

    def finish(self) -> None:
        """Called by every rank at the end: waits until what was saved is written, and raises what
        went wrong in writing."""
        ...


class PlainContext:
    """Processes without a launcher. Rank 0 writes checkpoints to `folder`, if one is given, in the
    background."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder = None if folder is None else RunFolder(folder)
        self._rank = rank
        self._world_size = world_size
        self._device = device
        self._stop = stop
        self._writer: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def world_size(self) -> int:
        return self._world_size

    @property
    def device(self) -> torch.device:
        import torch

        if self._device is not None:
            return self._device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def restore(self) -> Path | None:
        self._join()
        return None if self._folder is None else self._folder.newest()

    def save(self, metrics: Mapping[str, float], write: Write | None) -> None:
        if write is None or self._folder is None:
            return
        # One checkpoint in memory at a time: a slow disk holds the training up, not the memory.
        self._join()
        self._writer = threading.Thread(
            target=self._write, args=(self._folder, dict(metrics), write), name="checkpoint writer"
        )
        self._writer.start()

    def stop_requested(self) -> bool:
        return self._stop()

    def finish(self) -> None:
        self._join()

    def _join(self) -> None:
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, folder: RunFolder, metrics: dict[str, float], write: Write) -> None:
        def fill(half: Path) -> None:
            write(half)
            (half / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")

        try:
            folder.write(folder.next(), fill)
            folder.tidy()
        except BaseException as error:
            self._error = error
