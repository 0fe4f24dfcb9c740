"""The doctor before a cluster that wants a token: with it, with a wrong one, with none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drills.nodes import START_S, Nodes, cluster, tree, wait_for

pytestmark = pytest.mark.drill

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Its nodes take a while to look for GPUs, as large machines do; who stands still is not given
    up."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "nvidia-smi").write_text("#!/bin/sh\nsleep 1\nexit 9\n")
    (folder / "nvidia-smi").chmod(0o755)
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "RAY_health_check_failure_threshold": "1000",
    }
    with cluster(2, False, **environment) as nodes:
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


def test_a_node_that_stands_still_is_named_and_no_other(guarded: Nodes, tmp_path: Path) -> None:
    still = tree(guarded.add(1).pid)

    def there() -> bool:
        return "2 node(s)" in look(guarded, tmp_path, TOKEN, "ray", "nodes")[1]["nodes"]["said"]

    wait_for(there, START_S, "the node did not join")
    for process in still:
        process.suspend()
    try:
        code, found = look(guarded, tmp_path, TOKEN, "ray", "nodes")
    finally:
        for process in still:
            process.resume()
    assert code == 1
    assert found["ray"]["outcome"] == "ok"
    # Both nodes have one address here: it is named once.
    assert re.fullmatch(r"no worker answers at [\d.]+", found["nodes"]["said"]), found
