"""Pretraining loses a worker, its driver, a node: the curve is that of an undisturbed run.

Each drill prints how long the run needed to get on again, and how far its curve is off.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config.learning import LaunchConfig
from persona_ray.config.pretraining import EngineConfig
from persona_ray.launch.pretrain_run import pretrain_plain
from persona_ray.training.pretrain.curve import Curve
from tests.drills.nodes import Nodes, cluster, kill, train_workers, wait_for
from tests.drills.slow import settings
from tests.unit.training.pretrain.toys import ToyTask

pytestmark = pytest.mark.drill

# Largest difference of the losses (3 to 11 nats) at any update: sums in another order.
TOLERANCE = 1e-3
# Updates that may still be on their way to the driver when something is killed.
ON_THE_WAY = 4
# Of a whole run, on a machine that is busy with other things.
RUN_S = 600


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Curve:
    """In one process, without Ray, without DeepSpeed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    launch = LaunchConfig(cpus_per_worker=1)
    task = ToyTask()
    return pretrain_plain(task, settings(), EngineConfig(), launch, folder, lambda _: None).curve


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster(cpus=4) as running:
        yield running


class Run:
    """A driver process, and what it tells."""

    def __init__(self, folder: Path, nodes: Nodes) -> None:
        self.folder = folder / "run"
        self._nodes = nodes
        self._driver: subprocess.Popen[bytes] | None = None

    def start(self, workers: int, least: int | None = None) -> subprocess.Popen[bytes]:
        arguments = [self.folder, self._nodes.address, workers, least or workers]
        self._driver = subprocess.Popen(
            [sys.executable, "-m", "tests.drills.slow", *map(str, arguments)],
            env={**self._nodes.environment, "PYTHONPATH": str(Path.cwd())},
        )
        return self._driver

    def reach(self, update: int) -> float:
        """Seconds until it has told of `update`."""
        assert self._driver is not None
        return wait_for(lambda: self._on_its_way() and self.at() >= update, RUN_S, f"not {update}")

    def at(self) -> int:
        path = self.folder.parent / "told.txt"
        lines = path.read_text().splitlines() if path.is_file() else []
        return int(lines[-1].split()[1]) if lines else 0

    def finish(self) -> Curve:
        assert self._driver is not None
        assert self._driver.wait(RUN_S) == 0
        tree = json.loads((self.folder.parent / "curve.json").read_text(encoding="utf-8"))
        return Curve.from_json(tree)

    def _on_its_way(self) -> bool:
        assert self._driver is not None
        assert self._driver.poll() is None, f"the driver ended with {self._driver.returncode}"
        return True


def compare(curve: Curve, undisturbed: Curve, what: str, recovered_s: float) -> None:
    assert [p.update for p in curve.points] == [p.update for p in undisturbed.points]
    pairs = list(zip(curve.points, undisturbed.points, strict=True))
    off = max(abs(mine.loss - its.loss) for mine, its in pairs)
    print(f"\n{what}: on again after {recovered_s:.0f} s, losses differ by at most {off:.1e}")
    assert off < TOLERANCE
    for mine, its in pairs:
        assert mine.accuracy == pytest.approx(its.accuracy, abs=0.02)
        assert mine.learning_rate == its.learning_rate


def test_a_worker_is_killed(tmp_path: Path, nodes: Nodes, undisturbed: Curve) -> None:
    run = Run(tmp_path, nodes)
    run.start(workers=2)
    run.reach(25)
    victim, killed_at = train_workers()[-1], run.at()
    victim.kill()
    recovered_s = run.reach(killed_at + ON_THE_WAY)
    compare(run.finish(), undisturbed, "kill -9 of a worker", recovered_s)


def test_the_driver_is_killed(tmp_path: Path, nodes: Nodes, undisturbed: Curve) -> None:
    run = Run(tmp_path, nodes)
    driver = run.start(workers=2)
    run.reach(25)
    killed_at = run.at()
    driver.kill()
    driver.wait()
    run.start(workers=2)
    recovered_s = run.reach(killed_at + ON_THE_WAY)
    compare(run.finish(), undisturbed, "kill -9 of the driver, and a rerun", recovered_s)


def test_a_stop_leaves_a_checkpoint_for_another_world_size(
    tmp_path: Path, nodes: Nodes, undisturbed: Curve
) -> None:
    run = Run(tmp_path, nodes)
    driver = run.start(workers=2)
    run.reach(23)
    asked = time.monotonic()
    driver.send_signal(signal.SIGTERM)
    driver.wait(RUN_S)
    print(f"\nSIGTERM: ended after {time.monotonic() - asked:.1f} s")
    assert driver.returncode != 0
    stopped_at = run.at()
    newest = sorted(run.folder.glob("checkpoint-*"))[-1]
    done = json.loads((newest / "state.json").read_text())["progress"]["update"]
    # Not the one of the interval: nothing is lost.
    assert done >= stopped_at
    assert done % settings().checkpoint_updates != 0
    run.start(workers=1)
    recovered_s = run.reach(done + 1)
    compare(run.finish(), undisturbed, "SIGTERM with 2 workers, rerun with 1", recovered_s)


def test_a_node_is_killed(tmp_path: Path, undisturbed: Curve) -> None:
    with cluster(cpus=1) as nodes:
        other = nodes.add(cpus=1)
        run = Run(tmp_path, nodes)
        run.start(workers=2, least=1)
        run.reach(25)
        assert len(train_workers()) == 2
        killed_at = run.at()
        kill(other.pid)
        recovered_s = run.reach(killed_at + ON_THE_WAY)
        assert len(train_workers()) == 1
        compare(run.finish(), undisturbed, "kill -9 of a node", recovered_s)
