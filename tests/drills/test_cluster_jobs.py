"""A job is submitted from another machine, with the cluster's token, and the machine goes: the job
goes on. Who has no token submits nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from persona_ray.training.finetune.history import History
from tests.conftest import REPOSITORY
from tests.drills.namespaces import FarNodes, far_cluster
from tests.drills.nodes import RAY, wait_for
from tests.drills.runs import RUN_S
from tests.drills.slow_finetune import FROZEN, MODULE, alone, same

pytestmark = pytest.mark.drill

SUBMIT_S = 120


def submit(far: FarNodes, *entry: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [RAY, "job", "submit", "--address", far.nodes.dashboard, "--no-wait", "--", *entry]
    return subprocess.run(
        command,
        env={**far.nodes.environment, **changes},
        capture_output=True,
        text=True,
        timeout=SUBMIT_S,
        check=False,
    )


def test_the_machine_that_submitted_goes(tmp_path: Path) -> None:
    undisturbed = alone(tmp_path / "undisturbed")
    other_token = tmp_path / "other"
    other_token.write_text("0" * 64)
    told, outcome = tmp_path / "told.txt", tmp_path / "outcome.json"
    with far_cluster(2, tmp_path, True, PYTHONPATH=str(REPOSITORY)) as far:
        desk = far.network.machine()
        with desk.inside():
            wait_for(lambda: not submit(far, "true").returncode, SUBMIT_S, "no job is taken")
            stolen = tmp_path / "stolen"
            for changes in (
                {"RAY_AUTH_TOKEN_PATH": str(other_token)},
                {"RAY_AUTH_MODE": "disabled"},
            ):
                refused = submit(far, "touch", str(stolen), **changes)
                assert refused.returncode != 0
                said = refused.stdout + refused.stderr
                assert "token" in said.lower() or "unauthorized" in said.lower(), said
            arguments = [str(tmp_path / "run"), far.nodes.address, "1", "1"]
            taken = submit(far, sys.executable, "-m", MODULE, *arguments)
            assert taken.returncode == 0, taken.stderr
        wait_for(told.is_file, RUN_S, "the job did not begin")
        far.network.remove(desk)
        wait_for(outcome.is_file, RUN_S, "the job did not end")
        assert not stolen.exists()
    epochs = [int(line.split()[1]) for line in told.read_text().splitlines()]
    assert epochs[-1] > FROZEN
    same(History.from_json(json.loads(outcome.read_text())), undisturbed, "submitted, and left")
