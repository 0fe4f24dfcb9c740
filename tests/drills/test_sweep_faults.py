"""Sweeps that are killed or stopped go on; large trials share a cluster and wait for nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drills.nodes import wait_for
from tests.drills.runs import RUN_S
from tests.drills.slow_sweep import RATES

pytestmark = pytest.mark.drill


_STARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """A sweep whose drill failed ends with it; its Ray ends with it."""
    yield
    while _STARTED:
        driver = _STARTED.pop()
        driver.kill()
        driver.wait()


def start(workspace: Path, kind: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "tests.drills.slow_sweep", str(workspace), kind]
    _STARTED.append(subprocess.Popen(command, env=environment))
    return _STARTED[-1]


def finish(driver: subprocess.Popen[bytes], workspace: Path) -> dict[str, Any]:
    assert driver.wait(RUN_S) == 0
    outcome: dict[str, Any] = json.loads((workspace.parent / "outcome.json").read_text())
    return outcome


def kept(workspace: Path) -> dict[str, int]:
    """When each run of the journal was written."""
    return {
        path.name: path.stat().st_mtime_ns for path in (workspace / "sweep/runs").glob("*.json")
    }


def killed_and_finished(
    workspace: Path, kind: str, after: int
) -> tuple[dict[str, int], dict[str, Any]]:
    """The driver is killed once `after` runs have ended, and starts again: what was kept at the
    kill, and what came out in the end."""
    driver = start(workspace, kind)
    wait_for(lambda: len(kept(workspace)) >= after, RUN_S, "no run ended")
    driver.kill()
    driver.wait()
    return kept(workspace), finish(start(workspace, kind), workspace)


@pytest.mark.parametrize(
    ("ending", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_what_has_ended_is_not_trained_again(tmp_path: Path, ending: int, code: int) -> None:
    workspace = tmp_path / "broken" / "run"
    driver = start(workspace, "small")
    wait_for(lambda: len(kept(workspace)) >= 2, RUN_S, "no run ended")
    driver.send_signal(ending)
    assert driver.wait(RUN_S) == code
    before = kept(workspace)
    assert 2 <= len(before) < 6
    outcome = finish(start(workspace, "small"), workspace)
    assert (outcome["found"], outcome["trained"]) == (len(before), 6 - len(before))
    after = kept(workspace)
    assert len(after) == 6
    assert all(after[name] == at for name, at in before.items())
    whole = tmp_path / "whole" / "run"
    assert finish(start(whole, "small"), whole)["rows"] == outcome["rows"]


def test_a_killed_sweep_with_a_scheduler_goes_on(tmp_path: Path) -> None:
    workspace = tmp_path / "run"
    before, outcome = killed_and_finished(workspace, "asha", after=2)
    assert outcome["found"] == len(before)
    after = kept(workspace)
    assert all(after[name] == at for name, at in before.items())
    assert len(outcome["rows"]) == 6
    assert outcome["rows"][0][0]["training.learning_rate"] == RATES[0]


def test_large_trials_share_a_cluster_and_go_on_after_a_kill(tmp_path: Path) -> None:
    workspace = tmp_path / "run"
    before, outcome = killed_and_finished(workspace, "large", after=1)
    assert (outcome["found"], outcome["trained"]) == (len(before), 3 - len(before))
    assert [row[3] for row in outcome["rows"]] == [True] * 3
    assert outcome["rows"][0][0] == {"training.learning_rate": RATES[0]}


def test_a_large_trial_that_is_given_up_leaves_its_place(tmp_path: Path) -> None:
    """Its workers end with it: the next trial has room."""
    outcome = finish(start(tmp_path / "run", "large asha"), tmp_path / "run")
    given_up = [row for row in outcome["rows"] if not row[3]]
    assert given_up
    assert all(row[2] < 4 for row in given_up)
    assert outcome["rows"][0][0] == {"training.learning_rate": RATES[0]}
