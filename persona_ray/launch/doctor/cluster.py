"""The Ray cluster: reached, its nodes alike, the workspace theirs too, and their clocks."""

from __future__ import annotations

import os
import platform
import secrets
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError
from persona_ray.launch.cluster import connect
from persona_ray.launch.doctor import access
from persona_ray.launch.doctor.databases import apart
from persona_ray.launch.doctor.finding import NotWellError, Outcome, not_applicable, warning
from persona_ray.launch.doctor.machine import rooms, smi

_KNOCK_S = 3.0
_MARK = ".doctor-"


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node says of itself. `wrote`: whether it could write the workspace; empty: yes.
    `free`: what `machine.rooms` tells, `low` those lines of it that are not well."""

    ip: str
    python: str
    ray: str
    product: str
    gpus: tuple[str, ...]
    wrote: str
    marks: tuple[str, ...]
    free: tuple[str, ...]
    low: tuple[str, ...]


@dataclass(slots=True)
class Cluster:
    """A connected one. `clocks`: of each node how far it is ahead, and how long it took to say."""

    address: str
    reports: list[NodeReport] = field(default_factory=list)
    clocks: dict[str, tuple[timedelta, timedelta]] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    resources: dict[str, float] = field(default_factory=dict)
    _held: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def reach(cls, config: RunConfig, wait_s: float) -> Self:
        """The one that launch.address or RAY_ADDRESS names, or that this process is in already; its
        nodes are asked for `wait_s` at most. Raises NotWellError."""
        import ray

        address = config.launch.address or os.environ.get("RAY_ADDRESS", "")
        if not ray.is_initialized() and address in ("", "local"):
            raise not_applicable(
                f"ray {ray.__version__}; no cluster is named (launch.address, RAY_ADDRESS): each "
                "command starts its own"
            )
        if not ray.is_initialized() and access.knock(address, access.token_of()) == access.REFUSED:
            # Ray itself would try for 20 s, and say that nobody is there.
            raise NotWellError(
                f"the cluster at {address} refuses this process: a wrong token, or none",
                "RAY_AUTH_MODE=token, and the cluster's own token in RAY_AUTH_TOKEN or in the file "
                "that RAY_AUTH_TOKEN_PATH names",
            )
        found = cls(address or ray.get_runtime_context().gcs_address)
        try:
            found._held.enter_context(connect(config.launch))
        except ConfigError as error:
            raise NotWellError(
                str(error),
                "is its head up (`ray status` there), may this machine reach that port, and is the "
                "address right? without a cluster leave it empty",
            ) from None
        try:
            found._ask(config, wait_s)
        except BaseException:
            found.close()
            raise
        return found

    def close(self) -> None:
        """Leave it as it was."""
        self._held.close()

    def _ask(self, config: RunConfig, wait_s: float) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        until = time.monotonic() + wait_s
        self.resources = ray.cluster_resources()
        self.dead = [one["NodeManagerAddress"] for one in ray.nodes() if not one["Alive"]]
        alive = {one["NodeID"]: one["NodeManagerAddress"] for one in ray.nodes() if one["Alive"]}
        kind = ray.remote(num_cpus=0, max_restarts=0)(_Probe)
        workspace, mark = str(config.workspace.absolute()), secrets.token_hex(6)
        probes = {
            node: kind.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(workspace, mark)
            for node in alive
        }
        try:
            written = {node: probe.write.remote(node) for node, probe in probes.items()}
            # All have written before any looks; who is silent leaves the others time for that.
            there = _gathered(written, wait_s / 2)
            told = _gathered(
                {node: probes[node].report.remote(alive[node], there[node]) for node in there},
                until - time.monotonic(),
            )
            self.reports = list(told.values())
            clocks: dict[str, tuple[timedelta, timedelta]] = {}
            for node in told:
                with suppress(ray.exceptions.RayError):
                    clocks[node] = _clock(probes[node])
            self.clocks = {alive[node]: found for node, found in clocks.items()}
            self.silent = [ip for node, ip in alive.items() if node not in clocks]
        finally:
            for node, probe in probes.items():
                with suppress(Exception):
                    ray.get(probe.clear.remote(node), timeout=1.0)
                ray.kill(probe)


def nodes(cluster: Cluster) -> str:
    """All answer, with the same Python, Ray and release."""
    import ray

    from persona_ray import __version__

    if cluster.silent:
        raise NotWellError(
            f"no worker answers at {', '.join(sorted(cluster.silent))}",
            "its raylet's log says why: is persona-ray in its image, is its memory or disk full?",
        )
    ours = (platform.python_version(), ray.__version__, __version__)
    others = [
        f"{one.ip} has Python {one.python}, ray {one.ray}, persona-ray {one.product}"
        for one in cluster.reports
        if (one.python, one.ray, one.product) != ours
    ]
    if others:
        raise NotWellError(
            f"here Python {ours[0]}, ray {ours[1]}, persona-ray {ours[2]}; {others[0]}",
            "one image for all nodes and for who submits",
        )
    cpus, memory = cluster.resources.get("CPU", 0), cluster.resources.get("memory", 0)
    said = f"{len(cluster.reports)} node(s), {cpus:g} CPUs, {memory / 1e9:.0f} GB, ray {ours[1]}"
    if cluster.dead:
        raise warning(
            f"{said}; {len(cluster.dead)} that were there are dead",
            "well if the cluster shrank; else their machines' or pods' events say why",
        )
    return said


def object_store(cluster: Cluster) -> str:
    """Room on all nodes: shared memory, disk."""
    size = cluster.resources.get("object_store_memory", 0.0)
    low = [f"{one.ip}: {line}" for one in cluster.reports for line in one.low]
    if low:
        raise NotWellError(
            ", ".join(low), "free some, or give the pods a larger volume (/dev/shm: emptyDir)"
        )
    told = [f"{one.ip}: {', '.join(one.free)}" for one in cluster.reports]
    return f"object store {size / 1e9:.1f} GB; {'; '.join(told)}"


def shared_workspace(config: RunConfig, cluster: Cluster) -> str:
    """Every node writes the same folder."""
    refused = [f"{one.ip}: {one.wrote}" for one in cluster.reports if one.wrote]
    workspace = config.workspace.absolute()
    if refused:
        raise NotWellError(
            f"{workspace} cannot be written at {', '.join(refused)}",
            "mount the shared volume there, with rights for the user that Ray runs as",
        )
    everyone = {mark for one in cluster.reports for mark in one.marks}
    if any(set(one.marks) != everyone for one in cluster.reports):
        raise NotWellError(
            f"{workspace} is another folder on each node",
            "mount one ReadWriteMany volume at the same path everywhere",
        )
    return f"{workspace} is one folder, written from {len(cluster.reports)} node(s)"


def gpus(config: RunConfig, cluster: Cluster) -> str:
    """Ray has the GPUs that its nodes show, and enough for training."""
    known = cluster.resources.get("GPU", 0.0)
    seen = sum(len(one.gpus) for one in cluster.reports)
    wanted = config.launch.workers * config.launch.gpus_per_worker
    if seen != known:
        raise NotWellError(
            f"nvidia-smi shows {seen} GPUs on all nodes, Ray has {known:g}",
            "start Ray where the driver is seen (NVIDIA's container runtime), or --num-gpus",
        )
    if wanted > known:
        raise warning(
            f"training asks for {wanted:g} GPUs, the cluster has {known:g}",
            "well if it grows by itself; else fewer launch.workers",
        )
    if not seen:
        raise not_applicable("no GPU, and none is asked for")
    drivers = {one.split(", ")[1] for report in cluster.reports for one in report.gpus}
    return f"{seen} GPU(s), driver {', '.join(sorted(drivers))}; training asks for {wanted:g}"


def clock(cluster: Cluster) -> str:
    """Every node's clock and this machine's."""
    told = [apart(ip, *found) for ip, found in cluster.clocks.items()]
    return "; ".join(told)


def guarded(cluster: Cluster) -> str:
    """Who has no token is refused."""
    address = cluster.address.removeprefix("ray://")
    match access.knock(address, ""):
        case access.REFUSED:
            return f"{address} refuses who has no token, and took ours"
        case "OK" if address.startswith(access.LOOPBACK):
            return f"{address} takes whoever asks; only this machine reaches it"
        case "OK":
            raise warning(
                f"{address} takes whoever asks, without a token: who reaches it can run code",
                "start the cluster with RAY_AUTH_MODE=token",
            )
        case other:
            raise not_applicable(f"{address} was not asked: {other}")


class _Probe:
    """Sits on one node while it is asked."""

    def __init__(self, workspace: str, mark: str) -> None:
        self._workspace = Path(workspace)
        self._prefix = f"{_MARK}{mark}-"

    def write(self, node: str) -> str:
        """Leave a mark in the workspace; why not, else empty."""
        try:
            self._workspace.mkdir(parents=True, exist_ok=True)
            (self._workspace / f"{self._prefix}{node}").write_bytes(b"")
        except OSError as error:
            return error.strerror or type(error).__name__
        return ""

    def clear(self, node: str) -> None:
        with suppress(OSError):
            (self._workspace / f"{self._prefix}{node}").unlink(missing_ok=True)

    def now(self) -> float:
        return time.time()

    def report(self, ip: str, wrote: str) -> NodeReport:
        import ray

        from persona_ray import __version__

        free, low = rooms(self._workspace, Path("/dev/shm"), Path("/tmp"))
        marks = () if wrote else tuple(p.name for p in self._workspace.glob(f"{self._prefix}*"))
        return NodeReport(
            ip=ip,
            python=platform.python_version(),
            ray=ray.__version__,
            product=__version__,
            gpus=tuple(smi()),
            wrote=wrote,
            marks=marks,
            free=tuple(free),
            low=tuple(one.said for one in low if one.outcome is Outcome.FAILED),
        )


def _gathered(asked: dict[str, Any], wait_s: float) -> dict[str, Any]:
    """Answers by key, of those that came in time and well."""
    import ray

    references = list(asked.values())
    done, _ = ray.wait(references, num_returns=len(references), timeout=wait_s)
    answers: dict[str, Any] = {}
    for key, reference in asked.items():
        if reference in done:
            with suppress(ray.exceptions.RayError):
                answers[key] = ray.get(reference)
    return answers


def _clock(probe: Any) -> tuple[timedelta, timedelta]:
    """The quickest of a few answers tells it best."""
    import ray

    found: list[tuple[float, float]] = []
    for _ in range(5):
        before = time.time()
        theirs = ray.get(probe.now.remote(), timeout=_KNOCK_S)
        found.append((time.time() - before, theirs - before))
    took, ahead = min(found)
    return timedelta(seconds=ahead), timedelta(seconds=took)
