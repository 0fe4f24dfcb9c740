"""The doctor before a cluster that wants a token: with it, with a wrong one, with none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drills.nodes import Nodes, cluster

pytestmark = pytest.mark.drill

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Nodes]:
    with cluster(2, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as nodes:
        yield nodes


def look(nodes: Nodes, folder: Path, token: str, *checks: str) -> tuple[int, dict[str, Any]]:
    command = [str(Path(sys.executable).with_name("persona-ray")), "doctor", "--json"]
    command += ["--set", f"launch.address={nodes.address}", "--set", f"workspace={folder}"]
    command += [part for check in checks for part in ("--only", check)]
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=200, check=False
    )
    assert TOKEN not in done.stdout + done.stderr
    return done.returncode, {one["check"]: one for one in json.loads(done.stdout)}


def test_a_cluster_refuses_who_has_no_token_and_takes_who_has_it(
    guarded: Nodes, tmp_path: Path
) -> None:
    checks = ("ray", "token", "token-refused", "nodes", "shared-workspace")
    code, found = look(guarded, tmp_path, TOKEN, *checks)
    assert code == 0, found
    assert {one["outcome"] for one in found.values()} == {"ok"}
    assert "refuses who has no token" in found["token-refused"]["said"]


def test_a_wrong_token_is_one_line_with_what_to_do(guarded: Nodes, tmp_path: Path) -> None:
    code, found = look(guarded, tmp_path, TOKEN[::-1], "ray", "nodes")
    assert code == 1
    assert found["ray"]["outcome"] == "failed"
    assert "a wrong token, or none" in found["ray"]["said"]
    assert "RAY_AUTH_TOKEN_PATH" in found["ray"]["fix"]
    assert found["nodes"]["outcome"] == "not applicable"


def test_a_folder_that_nodes_cannot_write(guarded: Nodes) -> None:
    code, found = look(guarded, Path("/proc/persona-ray"), TOKEN, "shared-workspace")
    assert code == 1
    assert "mount the shared volume" in found["shared-workspace"]["fix"]
