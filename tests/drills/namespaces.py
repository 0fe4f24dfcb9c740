"""Machines in miniature: network namespaces with addresses of their own, tied together by a bridge
in another one, and Ray nodes on them.

Nothing of it reaches the real machine's network, or is reached from there. Whoever talks to such a
machine does it from one: `with machine.inside()`. Ray's tokens are on.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest

from tests.drills.nodes import Nodes, cluster, kill, wait_for

_NETWORK = "10.213.0"
_HERE = Path("/proc/thread-self/ns/net")
_NEWNET = 0x40000000
# A node that does not answer is given up after about 12 s instead of a minute.
QUICK = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass(frozen=True)
class Machine:
    """A namespace with an address; `port` is its end of the cable at the bridge."""

    namespace: str
    address: str
    port: str

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and the threads and processes that it starts, are on the machine."""
        with _HERE.open() as home, Path("/run/netns", self.namespace).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _enter(namespace: int) -> None:
    # `os.setns` came with Python 3.12.
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class Network:
    """The bridge, and the machines around it."""

    name: str = field(default_factory=lambda: f"pr-{os.getpid()}-{secrets.token_hex(2)}")
    machines: list[Machine] = field(default_factory=list)

    def machine(self) -> Machine:
        """One more."""
        number = len(self.machines) + 1
        one = Machine(f"{self.name}-{number}", f"{_NETWORK}.{number}", f"port{number}")
        _ip("netns", "add", one.namespace)
        self.machines.append(one)
        ends = ("link", "add", one.port, "type", "veth", "peer", "name", "eth0")
        _ip("-n", self.name, *ends, "netns", one.namespace)
        _ip("-n", self.name, "link", "set", one.port, "up")
        self.mend(one)
        _ip("-n", one.namespace, "address", "add", f"{one.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", one.namespace, "link", "set", device, "up")
        return one

    def cut(self, machine: Machine) -> None:
        """Its packets, and those to it, are lost: nobody is told."""
        _ip("-n", self.name, "link", "set", machine.port, "nomaster")

    def mend(self, machine: Machine) -> None:
        _ip("-n", self.name, "link", "set", machine.port, "master", "bridge")

    def part(self, one: Machine, other: Machine) -> None:
        """The two do not reach each other any more; everybody else reaches both."""
        for here, there in ((one, other), (other, one)):
            nowhere = ("lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")
            _ip("-n", here.namespace, "neighbour", "replace", there.address, *nowhere)

    def rejoin(self, one: Machine, other: Machine) -> None:
        for here, there in ((one, other), (other, one)):
            _ip("-n", here.namespace, "neighbour", "delete", there.address, "dev", "eth0")

    def remove(self, machine: Machine) -> None:
        """With everything that runs on it."""
        found = subprocess.run(
            ["ip", "netns", "pids", machine.namespace], capture_output=True, text=True, check=True
        )
        for pid in map(int, found.stdout.split()):
            if pid != os.getpid():
                kill(pid)
        _ip("netns", "delete", machine.namespace)
        self.machines.remove(machine)


@contextmanager
def network() -> Iterator[Network]:
    """Taken down after the block, with everything that runs in it. Skips where it cannot be."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux, root and the program ip (iproute2)")
    made = Network()
    try:
        _ip("netns", "add", made.name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    try:
        _ip("-n", made.name, "link", "add", "bridge", "type", "bridge")
        _ip("-n", made.name, "link", "set", "bridge", "up")
        yield made
    finally:
        # All of it, also where a part cannot be taken down.
        with ExitStack() as last:
            last.callback(_ip, "netns", "delete", made.name)
            for machine in made.machines[:]:
                last.callback(made.remove, machine)


@dataclass(frozen=True)
class Far:
    """A Ray node on a machine of its own."""

    machine: Machine
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class FarNodes:
    """A cluster whose nodes have a machine each; `head` is the head's."""

    network: Network
    head: Machine
    nodes: Nodes

    def add(self, cpus: int, machine: Machine | None = None, **environment: str) -> Far:
        """A node on a new machine, or on one whose node has gone."""
        machine = machine or self.network.machine()
        with machine.inside():
            return Far(machine, self.nodes.add(cpus, machine.address, **environment))

    def gone(self, node: Far, within_s: float) -> float:
        """Seconds until the node has seen that it was given up, and ended by itself."""
        return wait_for(lambda: node.process.poll() is not None, within_s, "the node stayed")


@contextmanager
def far_cluster(
    cpus: int, folder: Path, dashboard: bool = False, **environment: str
) -> Iterator[FarNodes]:
    """A head with so many logical processors. This thread is on its machine inside the block.

    `folder`: for the token, which all nodes are given.
    """
    from ray._private.authentication_test_utils import reset_auth_token_state

    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    known = QUICK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)} | environment
    with network() as made, ExitStack() as stack:
        head = made.machine()
        stack.enter_context(head.inside())
        nodes = stack.enter_context(cluster(cpus, dashboard, head.address, **known))
        # This process may have asked another cluster before, in another way.
        with mock.patch.dict(os.environ, known):
            reset_auth_token_state()
            yield FarNodes(made, head, nodes)
        reset_auth_token_state()
