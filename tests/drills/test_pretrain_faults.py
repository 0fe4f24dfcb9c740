"""Pretraining loses a worker, its driver, a node: the curve is that of an undisturbed run.

Each drill prints how long the run needed to get on again, and how far its curve is off.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import LaunchConfig
from persona_ray.launch.pretrain_run import pretrain_plain
from persona_ray.training.pretrain.curve import Curve
from tests.drills.nodes import Nodes, cluster, kill, train_workers
from tests.drills.runs import RUN_S, Run
from tests.drills.slow_pretrain import settings
from tests.unit.training.pretrain.toys import ToyTask

pytestmark = pytest.mark.drill

# Largest difference of the losses (3 to 11 nats) at any update: sums in another order.
TOLERANCE = 1e-3
# Updates that may still be on their way to the driver when something is killed.
ON_THE_WAY = 4
MODULE = "tests.drills.slow_pretrain"


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


def compare(run: Run, undisturbed: Curve, what: str, recovered_s: float) -> None:
    curve = Curve.from_json(run.finish())
    assert [p.update for p in curve.points] == [p.update for p in undisturbed.points]
    pairs = list(zip(curve.points, undisturbed.points, strict=True))
    off = max(abs(mine.loss - its.loss) for mine, its in pairs)
    print(f"\n{what}: on again after {recovered_s:.0f} s, losses differ by at most {off:.1e}")
    assert off < TOLERANCE
    for mine, its in pairs:
        assert mine.accuracy == pytest.approx(its.accuracy, abs=0.02)
        assert mine.learning_rate == its.learning_rate


def test_a_worker_is_killed(tmp_path: Path, nodes: Nodes, undisturbed: Curve) -> None:
    run = Run(MODULE, tmp_path, nodes)
    run.start(workers=2)
    run.reach(25)
    victim, killed_at = train_workers()[-1], run.at()
    victim.kill()
    recovered_s = run.reach(killed_at + ON_THE_WAY)
    compare(run, undisturbed, "kill -9 of a worker", recovered_s)


def test_the_driver_is_killed(tmp_path: Path, nodes: Nodes, undisturbed: Curve) -> None:
    run = Run(MODULE, tmp_path, nodes)
    driver = run.start(workers=2)
    run.reach(25)
    killed_at = run.at()
    driver.kill()
    driver.wait()
    run.start(workers=2)
    recovered_s = run.reach(killed_at + ON_THE_WAY)
    compare(run, undisturbed, "kill -9 of the driver, and a rerun", recovered_s)


def test_a_stop_leaves_a_checkpoint_for_another_world_size(
    tmp_path: Path, nodes: Nodes, undisturbed: Curve
) -> None:
    run = Run(MODULE, tmp_path, nodes)
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
    compare(run, undisturbed, "SIGTERM with 2 workers, rerun with 1", recovered_s)


def test_a_node_is_killed(tmp_path: Path, undisturbed: Curve) -> None:
    with cluster(cpus=1) as nodes:
        other = nodes.add(cpus=1)
        run = Run(MODULE, tmp_path, nodes)
        run.start(workers=2, least=1)
        run.reach(25)
        assert len(train_workers()) == 2
        killed_at = run.at()
        kill(other.pid)
        recovered_s = run.reach(killed_at + ON_THE_WAY)
        assert len(train_workers()) == 1
        compare(run, undisturbed, "kill -9 of a node", recovered_s)
