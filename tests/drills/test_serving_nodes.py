"""A node goes, with a replica of every deployment on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.load import Load
from tests.drills.nodes import kill, tree, wait_for
from tests.drills.serving import bundles, service

pytestmark = pytest.mark.drill

ROLES = ("ingress", "asr", "fused")
BACK_S = 90.0


def test_a_node_is_killed(tmp_path: Path) -> None:
    bundle = bundles(tmp_path)[0]
    two = [
        f"serving.{name}.{end}_replicas=2"
        for name in ("ingress", "asr", "speech")
        for end in ("min", "max")
    ]
    with service(tmp_path / "serving", *two) as running:
        other = running.nodes.add(cpus=8)
        asked = {"": running.asked(bundle)}
        running.deploy(bundle)
        there = {process.pid for process in tree(other.pid)}
        for role in ROLES:
            found = [process.pid in there for process in running.processes(role)]
            assert sorted(found) == [False, True], f"{role} is not spread over both nodes"
        with Load(running.url, asked) as load:
            kill(other.pid)
            load.more(16)
            back_s = wait_for(
                lambda: all(len(running.processes(role)) == 2 for role in ROLES),
                BACK_S,
                "the node's replicas have no successors",
            )
            load.more(16)
    load.check(f"kill -9 of a node, its replicas elsewhere after {back_s:.1f} s")
