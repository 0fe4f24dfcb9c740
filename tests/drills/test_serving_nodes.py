"""A node goes, with a proxy and a replica of every deployment on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray
import requests

from tests.drills.load import Load
from tests.drills.nodes import free_port, kill, tree, wait_for
from tests.drills.serving import bundles, service

pytestmark = pytest.mark.drill

ROLES = ("ingress", "whole")
BACK_S = 90.0


def test_a_node_is_killed(tmp_path: Path) -> None:
    bundle = bundles(tmp_path)[0]
    two = [
        f"serving.{name}.{end}_replicas=2"
        for name in ("ingress", "speech")
        for end in ("min", "max")
    ]
    port = free_port()
    # Both nodes have one address here.
    elsewhere = {"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(port)}
    with service(tmp_path / "serving", *two, **elsewhere) as running:
        other = running.nodes.add(cpus=8)
        asked = {"": running.asked(bundle)}
        wait_for(lambda: sum(node["Alive"] for node in ray.nodes()) == 2, BACK_S, "no second node")
        running.deploy(bundle)
        there = {process.pid for process in tree(other.pid)}
        for role in ROLES:
            found = [process.pid in there for process in running.processes(role)]
            assert sorted(found) == [False, True], f"{role} is not spread over both nodes"
        there_url = f"http://127.0.0.1:{port}"
        wait_for(lambda: ready(there_url), BACK_S, "the node has no proxy")
        with Load([running.url, there_url], asked, clients=8) as load:
            load.more(16)
            assert {one.url for one in load.answers} == {running.url, there_url}
            kill(other.pid)
            load.more(16)
            back_s = wait_for(
                lambda: all(len(running.processes(role)) == 2 for role in ROLES),
                BACK_S,
                "the node's replicas have no successors",
            )
            load.more(16)
    load.check(f"kill -9 of a node, its replicas elsewhere after {back_s:.1f} s", [there_url])
    assert not all(one.status for one in load.attempts), "nobody asked the dead node's proxy"


def ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/ready", timeout=10).status_code == 200
    except requests.RequestException:
        return False
