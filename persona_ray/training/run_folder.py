"""The folder of a training run, whoever launched it.

checkpoint-000007/   the newest `KEPT`, whole
writing-.../         one under way, or what a process that was killed left of it
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Fills an empty folder.
Write = Callable[[Path], None]

KEPT = 2


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`path` need not exist before something is written."""

    path: Path

    def checkpoints(self) -> list[Path]:
        """The whole ones, oldest first."""
        return sorted(self.path.glob("checkpoint-*"), key=_number)

    def newest(self) -> Path | None:
        """None: the run is to start anew."""
        found = self.checkpoints()
        return found[-1] if found else None

    def next(self) -> Path:
        """Where the next checkpoint is to lie."""
        newest = self.newest()
        return self.path / f"checkpoint-{0 if newest is None else _number(newest) + 1:06d}"

    def write(self, checkpoint: Path, write: Write) -> None:
        """Whole or absent, whenever the process is killed; a failure leaves nothing."""
        # Its own name: a worker that was given up may still be writing.
        half = self.path / f"writing-{uuid.uuid4().hex}"
        half.mkdir(parents=True)
        try:
            write(half)
            half.replace(checkpoint)
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what is no longer the newest, and what killed processes left half written. Nobody
        may be writing."""
        for path in (*self.path.glob("writing-*"), *self.checkpoints()[:-KEPT]):
            shutil.rmtree(path, ignore_errors=True)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])
