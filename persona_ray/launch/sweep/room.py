"""How many trials of a sweep a cluster has room for, known before any is started."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import LaunchConfig
from persona_ray.config.sweep import SweepConfig
from persona_ray.errors import ConfigError

# What a node of the cluster has: CPU, GPU, ...
Node = Mapping[str, float]
# Resources are counted in ten thousandths.
_LEAST = 1e-4


def is_large(launch: LaunchConfig, engine: EngineConfig) -> bool:
    """Whether a trial drives workers of Ray Train; otherwise it is one process on processors."""
    return launch.gpus_per_worker > 0 or launch.workers > 1 or engine.kind == "deepspeed"


def room(
    nodes: Sequence[Node], launch: LaunchConfig, engine: EngineConfig, sweep: SweepConfig
) -> int:
    """Trials at a time. Raises ConfigError where not even one fits: it would wait for ever."""
    large = is_large(launch, engine)
    if large:
        one = {"CPU": launch.cpus_per_worker, "GPU": launch.gpus_per_worker}
        workers = launch.workers
        who = f"{workers} worker{'s' * (workers > 1)} of {_shown(one)}"
        fix = "lower launch.workers, launch.cpus_per_worker or launch.gpus_per_worker"
    else:
        one, workers = {"CPU": sweep.cpus_per_trial, "GPU": 0.0}, 1
        who, fix = _shown(one), "lower sweep.cpus_per_trial"
    places = sum(_places(node, one) for node in nodes)
    trials = places // workers
    if not trials:
        here = "; ".join(_shown({kind: node.get(kind, 0.0) for kind in ("CPU", "GPU")})
                         for node in nodes)  # fmt: skip
        available = f"room for {places} of them" if workers > 1 else "no room for it"
        raise ConfigError(
            f"a trial of this sweep needs {who}, and the cluster has {available} ({len(nodes)} "
            f"node{'s' * (len(nodes) != 1)}: {here}): {fix}, or join a larger cluster "
            "(launch.address)"
        )
    if len(nodes) == 1 and not large:
        # A local cluster counts more processors than the machine has.
        trials = max(1, min(trials, int((os.cpu_count() or 1) / sweep.cpus_per_trial)))
    return min(trials, sweep.max_concurrent or trials)


def _places(node: Node, one: Mapping[str, float]) -> int:
    """Workers that fit a node."""
    return min(
        math.floor(node.get(kind, 0.0) / need + _LEAST) for kind, need in one.items() if need
    )


def _shown(resources: Node) -> str:
    """`8 CPU and 1 GPU`"""
    return " and ".join(f"{value:g} {kind}" for kind, value in resources.items() if value) or "none"
