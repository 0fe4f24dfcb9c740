"""The service on two machines, asked at both from a third: one goes, is cut off from everybody, or
from the other alone. What was answered is right; the rest is told within a bound, or asked again
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
import requests

from persona_ray.store import open_store
from tests.drills.load import Asked, Load
from tests.drills.namespaces import Far, FarNodes, far_cluster
from tests.drills.nodes import kill, tree, wait_for
from tests.drills.serving import PROCESSES, Service, bundles, served

pytestmark = pytest.mark.drill

ROLES = ("ingress", "whole")
BACK_S = 90.0
# A client that hears nothing for so long asks the other machine.
DEAF_S = 20.0


@dataclass(frozen=True)
class Spread:
    """The service on the head and on `other`, with a replica of every deployment on both."""

    far: FarNodes
    other: Far
    running: Service
    asked: dict[str, list[Asked]]
    key: str

    @property
    def there(self) -> str:
        """The other machine's proxy."""
        return self.running.url.replace(self.far.head.address, self.other.machine.address)

    @contextmanager
    def load(self) -> Iterator[Load]:
        """Clients on a machine of their own."""
        urls = [self.running.url, self.there]
        load = Load(urls, self.asked, clients=6, timeout_s=DEAF_S, key=self.key)
        with self.far.network.machine().inside():
            wait_for(lambda: ready(self.there), BACK_S, "the node has no proxy")
            with load:
                load.more(12)
                assert {one.url for one in load.answers} == {self.running.url, self.there}
                yield load

    def on_head(self, role: str) -> int:
        there = {process.pid for process in tree(self.other.process.pid)}
        return sum(process.pid not in there for process in self.running.processes(role))


@pytest.fixture
def spread(tmp_path: Path) -> Iterator[Spread]:
    bundle = bundles(tmp_path)[0]
    two = ["serving.keys.required=true", "serving.keys.requests_per_minute=100000"]
    two += [
        f"serving.{name}.{end}_replicas=2"
        for name in ("ingress", "speech")
        for end in ("min", "max")
    ]
    with far_cluster(8, tmp_path, False, **PROCESSES) as far:
        other = far.add(8)
        with served(far.nodes, tmp_path / "serving", far.head.address, *two) as running:
            wait_for(lambda: sum(one["Alive"] for one in ray.nodes()) == 2, BACK_S, "one node")
            asked = {"": running.asked(bundle)}
            with open_store(running.config(bundle).store_url) as store:
                key = store.keys.create("drill", ["recognise"]).token
            running.deploy(bundle)
            found = Spread(far, other, running, asked, key)
            assert [found.on_head(role) for role in ROLES] == [1, 1], "not spread"
            yield found


def ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/ready", timeout=10).status_code == 200
    except requests.RequestException:
        return False


def replaced(spread: Spread) -> float:
    return wait_for(
        lambda: all(spread.on_head(role) == 2 for role in ROLES), BACK_S, "no successors"
    )


def test_a_machine_is_killed(spread: Spread) -> None:
    with spread.load() as load:
        kill(spread.other.process.pid)
        load.more(12)
        back_s = replaced(spread)
        load.more(12)
    load.check(f"a machine killed, its replicas elsewhere after {back_s:.1f} s", [spread.there])


def test_a_machine_is_cut_off(spread: Spread) -> None:
    with spread.load() as load:
        spread.far.network.cut(spread.other.machine)
        load.more(12)
        back_s = replaced(spread)
        load.more(12)
        spread.far.network.mend(spread.other.machine)
        gone_s = spread.far.gone(spread.other, BACK_S)
        load.more(6)
    load.check(f"a machine cut off, its replicas elsewhere after {back_s:.1f} s", [spread.there])
    print(f"mended: it ended {gone_s:.1f} s later")


def test_two_machines_lose_each_other(spread: Spread) -> None:
    with spread.load() as load:
        spread.far.network.part(spread.far.head, spread.other.machine)
        load.more(12)
        back_s = replaced(spread)
        load.more(12)
        # It does not know that it was given up, and answers those who still reach it.
        assert spread.other.process.poll() is None
        spread.far.network.rejoin(spread.far.head, spread.other.machine)
        gone_s = spread.far.gone(spread.other, BACK_S)
        load.more(6)
    load.check(f"two machines parted, replicas replaced after {back_s:.1f} s", [spread.there])
    print(f"mended: the one without the head ended {gone_s:.1f} s later")
