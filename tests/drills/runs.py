"""Runs on Ray in processes of their own, to be killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from persona_ray.config.learning import LaunchConfig
from tests.drills.nodes import Nodes, wait_for

# Of a whole run, on a machine that is busy with other things.
RUN_S = 600


class Run:
    """A driver process (`python -m MODULE FOLDER ADDRESS WORKERS MIN_WORKERS`), which tells how far
    it is in told.txt (lines of time and number) and leaves outcome.json, both beside FOLDER."""

    def __init__(self, module: str, folder: Path, nodes: Nodes) -> None:
        self.folder = folder / "run"
        self._module = module
        self._nodes = nodes
        self._driver: subprocess.Popen[bytes] | None = None

    def start(self, workers: int, least: int | None = None) -> subprocess.Popen[bytes]:
        arguments = [self.folder, self._nodes.address, workers, least or workers]
        self._driver = subprocess.Popen(
            [sys.executable, "-m", self._module, *map(str, arguments)],
            env={**self._nodes.environment, "PYTHONPATH": str(Path.cwd())},
        )
        # Of a drill that failed: it ends with the cluster.
        self._nodes.stack.callback(self._driver.kill)
        return self._driver

    def reach(self, number: int) -> float:
        """Seconds until it has told of `number`."""
        assert self._driver is not None
        return wait_for(lambda: self._on_its_way() and self.at() >= number, RUN_S, f"not {number}")

    def at(self) -> int:
        path = self.folder.parent / "told.txt"
        lines = path.read_text().splitlines() if path.is_file() else []
        return int(lines[-1].split()[1]) if lines else 0

    def finish(self) -> Any:
        """The outcome, as JSON."""
        assert self._driver is not None
        assert self._driver.wait(RUN_S) == 0
        return json.loads((self.folder.parent / "outcome.json").read_text(encoding="utf-8"))

    def _on_its_way(self) -> bool:
        assert self._driver is not None
        assert self._driver.poll() is None, f"the driver ended with {self._driver.returncode}"
        return True


def drive(train: Callable[[Path, LaunchConfig, Callable[[int], None]], object]) -> None:
    """The driver's side: `train` in a folder, telling a number from time to time; what it returns
    is the outcome."""
    from persona_ray.launch.cluster import connect

    folder, workers, least = Path(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
    launch = LaunchConfig(
        workers=workers,
        min_workers=None if least == workers else least,
        cpus_per_worker=1,
        address=sys.argv[2],
        max_failures=3,
    )
    with connect(launch), (folder.parent / "told.txt").open("a") as told:

        def tell(number: int) -> None:
            told.write(f"{time.time()} {number}\n")
            told.flush()

        outcome = train(folder, launch, tell)
    (folder.parent / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
