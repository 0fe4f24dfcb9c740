"""Fine-tuning over two machines; one is cut off from the other, and comes back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.drills.namespaces import far_cluster
from tests.drills.nodes import train_workers, wait_for
from tests.drills.runs import Run
from tests.drills.slow_finetune import FROZEN, MODULE, alone, compare

pytestmark = pytest.mark.drill

# A node is given up after about 12 s without an answer.
SHORT_S, LONG_S = 2.0, 20.0
# Until an epoch that both had ended is told of, on a busy machine.
ON_THE_WAY_S = 5.0
GONE_S = 60.0


def test_a_machine_is_cut_off_and_comes_back(tmp_path: Path) -> None:
    undisturbed = alone(tmp_path / "undisturbed")
    with far_cluster(1, tmp_path) as far:
        other = far.add(cpus=1)
        run = Run(MODULE, tmp_path, far.nodes)
        run.start(workers=2)
        run.reach(FROZEN)
        before = {process.pid for process in train_workers()}
        assert len(before) == 2
        far.network.cut(other.machine)
        time.sleep(SHORT_S)
        far.network.mend(other.machine)
        run.reach(FROZEN + 1)
        assert {process.pid for process in train_workers()} == before, "it was not to begin anew"

        far.network.cut(other.machine)
        time.sleep(ON_THE_WAY_S)
        reached = run.at()
        time.sleep(LONG_S)
        assert run.at() == reached, "one machine alone went on for two"
        far.network.mend(other.machine)
        gone_s = far.gone(other, GONE_S)
        # As Kubernetes does with a container that ended.
        far.add(1, other.machine)
        back_s = wait_for(lambda: len(train_workers()) == 2, GONE_S, "no two workers again")
        print(f"\nmended: the node ended {gone_s:.0f} s on, two workers {back_s:.0f} s after that")
        compare(run, undisturbed, "a machine cut off and back")
