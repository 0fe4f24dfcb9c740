"""Fine-tuning loses a worker or its driver, or is stopped and goes on with other workers, around
the moment of unfreezing: the history is that of an undisturbed run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.training.finetune.history import History
from tests.drills.nodes import Nodes, cluster, train_workers
from tests.drills.runs import RUN_S, Run
from tests.drills.slow_finetune import EPOCHS, FROZEN, MODULE, alone, compare

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> History:
    return alone(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with cluster(cpus=4) as running:
        yield running


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
