"""Fine-tuning loses a worker or its driver, or is stopped and goes on with other workers, around
the moment of unfreezing: the history is that of an undisturbed run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import LaunchConfig
from persona_ray.launch.finetune_run import fit_plain
from persona_ray.training.finetune.history import History
from tests.drills.nodes import Nodes, cluster, train_workers
from tests.drills.runs import RUN_S, Run
from tests.drills.slow_finetune import EPOCHS, FROZEN, job
from tests.unit.training.toys import Tones

pytestmark = pytest.mark.drill

MODULE = "tests.drills.slow_finetune"
# Sums in another order, carried on by Adam.
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> History:
    """In one process, without Ray, without DeepSpeed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    launch = LaunchConfig(cpus_per_worker=1)
    return fit_plain(job(Tones(), EngineConfig()), launch, folder, lambda _: None).history


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster(cpus=4) as running:
        yield running


def compare(run: Run, undisturbed: History, what: str) -> None:
    history = History.from_json(run.finish())
    assert history.ended == undisturbed.ended
    assert len(history.epochs) == EPOCHS
    pairs = list(zip(history.epochs, undisturbed.epochs, strict=True))
    off = max(abs(mine.loss - its.loss) for mine, its in pairs)
    print(f"\n{what}: losses differ by at most {off:.1e}")
    assert off < TOLERANCE
    assert [mine.phase for mine, _ in pairs] == [its.phase for _, its in pairs]


def test_a_worker_is_killed(tmp_path: Path, nodes: Nodes, undisturbed: History) -> None:
    run = Run(MODULE, tmp_path, nodes)
    run.start(workers=2)
    run.reach(FROZEN + 1)
    train_workers()[-1].kill()
    compare(run, undisturbed, "kill -9 of a worker")


def test_the_driver_is_killed_when_the_encoders_are_opened(
    tmp_path: Path, nodes: Nodes, undisturbed: History
) -> None:
    run = Run(MODULE, tmp_path, nodes)
    driver = run.start(workers=2)
    run.reach(FROZEN)
    driver.kill()
    driver.wait()
    run.start(workers=2)
    compare(run, undisturbed, "kill -9 of the driver, and a rerun")


def test_a_stopped_run_goes_on_with_another_number_of_workers(
    tmp_path: Path, nodes: Nodes, undisturbed: History
) -> None:
    run = Run(MODULE, tmp_path, nodes)
    driver = run.start(workers=2)
    run.reach(FROZEN + 1)
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(RUN_S) != 0
    assert run.at() < EPOCHS
    run.start(workers=1)
    compare(run, undisturbed, "SIGTERM with 2 workers, rerun with 1")
