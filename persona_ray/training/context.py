"""All that the loop knows of where it runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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
    """One worker's view of fine-tuning."""

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        """Called by every rank after each epoch; rank 0 hands over a folder, which is copied."""
        ...

    def restore(self) -> Path | None:
        """The folder of the newest checkpoint, or None at a fresh start."""
        ...


class PlainContext:
    """One process, no launcher. Keeps the newest checkpoint in `folder`, if one is given."""

    rank = 0
    world_size = 1

    def __init__(self, folder: Path | None = None, device: torch.device | None = None) -> None:
        self._folder = folder
        self._device = device

    @property
    def device(self) -> torch.device:
        import torch

        if self._device is not None:
            return self._device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        if self._folder is None or checkpoint is None:
            return
        number = self._newest_number() + 1
        half = self._folder / f"writing-{number:04d}"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(checkpoint, half)
        (half / "metrics.json").write_text(json.dumps(dict(metrics)), encoding="utf-8")
        # The rename makes a checkpoint whole or absent, whenever the process is killed.
        half.replace(self._folder / f"checkpoint-{number:04d}")
        for older in self._numbers():
            if older < number:
                shutil.rmtree(self._folder / f"checkpoint-{older:04d}", ignore_errors=True)

    def restore(self) -> Path | None:
        number = self._newest_number()
        if self._folder is None or number < 0:
            return None
        return self._folder / f"checkpoint-{number:04d}"

    def _numbers(self) -> list[int]:
        if self._folder is None or not self._folder.is_dir():
            return []
        return [int(path.name.split("-")[1]) for path in self._folder.glob("checkpoint-*")]

    def _newest_number(self) -> int:
        return max(self._numbers(), default=-1)
