"""All checks, beside each other, each bounded in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTimeError
from functools import partial

from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError
from persona_ray.launch.doctor import access, cluster, databases, machine, models, storage
from persona_ray.launch.doctor.cluster import Cluster
from persona_ray.launch.doctor.finding import Finding, Outcome, finding_of

Check = Callable[[RunConfig], str]

LIMIT_S = 20.0
# Imports of large libraries, weights: beside all others on a small machine.
_LONGER = 3.0
_SLOW = frozenset({"gpus", "registry", "recogniser", "encoders", "collectives", "ray"})

ALONE: Mapping[str, Check] = {
    "python": machine.python,
    "packages": machine.packages,
    "disk": machine.disk,
    "ports": machine.ports,
    "gpus": machine.gpus,
    "token": access.token,
    "keys": access.keys,
    "vault": access.vault,
    "tls": machine.tls,
    "workspace": storage.workspace,
    "audio": storage.audio,
    "artefacts": storage.artefacts,
    "database": databases.database,
    "database-clock": databases.database_clock,
    "registry": databases.registry,
    "bundle": models.bundle,
    "recogniser": models.recogniser,
    "encoders": models.encoders,
}
# These need the cluster, and are named as they are told.
ON_CLUSTER = (
    "nodes",
    "object-store",
    "token-refused",
    "shared-workspace",
    "cluster-gpus",
    "clock",
    "collectives",
)
NAMES = (*ALONE, "ray", *ON_CLUSTER)


def examine(
    config: RunConfig, only: Collection[str] = (), limit_s: float = LIMIT_S
) -> Sequence[Finding]:
    """What `only` (empty: all; without a cluster no more than that of those that need one) find, in
    the order of `NAMES`. ConfigError for a name that none has."""
    for name in only:
        if name not in NAMES:
            raise ConfigError(f"there is no check '{name}': there are {', '.join(NAMES)}")
    wanted = [name for name in NAMES if name in (only or NAMES)]
    begun = {name: _Run(name, partial(ALONE[name], config)) for name in wanted if name in ALONE}
    found: dict[str, Finding] = {}
    on_cluster = [name for name in wanted if name not in ALONE]
    if on_cluster:
        found |= _of_cluster(config, on_cluster, limit_s)
    found |= {name: run.ended(limit_s) for name, run in begun.items()}
    if not only and found["ray"].outcome is not Outcome.OK:
        wanted = [name for name in wanted if name not in ON_CLUSTER]
    return [found[name] for name in wanted]


def _of_cluster(config: RunConfig, wanted: Collection[str], limit_s: float) -> dict[str, Finding]:
    reached: list[Cluster] = []

    def reach() -> str:
        reached.append(Cluster.reach(config, limit_s))
        return f"{reached[0].address} answers and takes this process in"

    ray = _Run("ray", reach).ended(limit_s)
    if not reached:
        why = "no cluster" if ray.outcome is Outcome.NOT_APPLICABLE else f"no cluster: {ray.said}"
        found = {name: Finding(name, Outcome.NOT_APPLICABLE, why) for name in wanted}
        return found | {"ray": ray}
    from persona_ray.launch.doctor.collectives import collectives

    there = reached[0]
    checks: Mapping[str, Callable[[], str]] = {
        "nodes": partial(cluster.nodes, there),
        "object-store": partial(cluster.object_store, there),
        "token-refused": partial(cluster.guarded, there),
        "shared-workspace": partial(cluster.shared_workspace, config, there),
        "cluster-gpus": partial(cluster.gpus, config, there),
        "clock": partial(cluster.clock, there),
        # Sooner over than its time is: what it says of workers that were waited for is told.
        "collectives": partial(collectives, config, there, limit_s * (_LONGER - 1.0)),
    }
    try:
        begun = {name: _Run(name, checks[name]) for name in wanted if name in checks}
        return {"ray": ray, **{name: run.ended(limit_s) for name, run in begun.items()}}
    finally:
        there.close()


class _Run:
    """A check, in a thread that does not keep the process alive: what hangs is left behind."""

    def __init__(self, name: str, check: Callable[[], str]) -> None:
        self._name = name
        self._begun = time.monotonic()
        self._future: Future[str] = Future()
        threading.Thread(target=self._run, args=(check,), name=name, daemon=True).start()

    def ended(self, limit_s: float) -> Finding:
        """What it found, at most so many seconds after it began (three times as many where large
        libraries are loaded)."""
        patience_s = limit_s * (_LONGER if self._name in _SLOW else 1.0)
        try:
            said = self._future.result(max(0.0, self._begun + patience_s - time.monotonic()))
        except NotInTimeError:
            return Finding(
                self._name,
                Outcome.FAILED,
                f"no answer in {patience_s:g} s",
                "is what it asks up, and this machine not overloaded? --timeout gives more time",
            )
        except Exception as error:
            return finding_of(self._name, error)
        return Finding(self._name, Outcome.OK, said)

    def _run(self, check: Callable[[], str]) -> None:
        try:
            self._future.set_result(check())
        except Exception as error:
            self._future.set_exception(error)
