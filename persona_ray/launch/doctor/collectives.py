"""A real all-reduce over the cluster's nodes: what training does at every step."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from typing import Any

from persona_ray.config import RunConfig
from persona_ray.launch.doctor.cluster import Cluster
from persona_ray.launch.doctor.finding import NotWellError, not_applicable

_MIB = 16
_ROUNDS = 3
_LEAST_WORKERS = 2


def collectives(config: RunConfig, cluster: Cluster, wait_s: float) -> str:
    """One worker on each node, at least two in all: by NCCL where training has GPUs, else by
    Gloo."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    gpu = config.launch.gpus_per_worker > 0
    if gpu and cluster.resources.get("GPU", 0.0) < _LEAST_WORKERS:
        raise not_applicable("fewer than two GPUs: there is nobody to reduce with")
    alive = [one["NodeID"] for one in ray.nodes() if one["Alive"]]
    places = (alive * _LEAST_WORKERS)[: max(_LEAST_WORKERS, len(alive))]
    kind = ray.remote(num_cpus=0, num_gpus=1 if gpu else 0, max_restarts=0)(_Worker)
    workers = [
        kind.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=gpu)).remote()
        for node in places
    ]
    until = time.monotonic() + wait_s
    try:
        address = ray.get(workers[0].address.remote(), timeout=wait_s)
        left_s = max(1.0, until - time.monotonic())
        asked = [
            worker.reduce.remote("nccl" if gpu else "gloo", address, rank, len(workers), left_s)
            for rank, worker in enumerate(workers)
        ]
        sums, seconds = zip(*ray.get(asked, timeout=left_s), strict=True)
    except ray.exceptions.GetTimeoutError:
        raise NotWellError(
            f"{len(workers)} workers on {len(alive)} node(s) did not find each other "
            f"in {wait_s:g} s",
            "do network policies and firewalls let nodes talk on all ports? GLOO_SOCKET_IFNAME or "
            "NCCL_SOCKET_IFNAME name the network where there are several",
        ) from None
    except ray.exceptions.RayTaskError as error:
        said = str(error.cause or error).strip().splitlines()[-1]
        raise NotWellError(
            f"an all-reduce fails: {said[:200]}",
            "do network policies and firewalls let nodes talk on all ports? (NCCL_DEBUG=INFO)",
        ) from None
    finally:
        for worker in workers:
            ray.kill(worker)
    if set(sums) != {float(sum(range(1, len(workers) + 1)))}:
        raise NotWellError(
            f"an all-reduce over {len(workers)} workers gives {sums[0]}",
            "do not train on it: memory or network of a node is damaged",
        )
    rate = _MIB / max(seconds)
    by = "NCCL" if gpu else "Gloo"
    return f"{len(workers)} workers on {len(alive)} node(s) by {by}: {rate:.0f} MiB/s"


class _Worker:
    """One of those that reduce."""

    def address(self) -> str:
        """Where the others find it: a free port of its node."""
        import ray

        ip = ray.util.get_node_ip_address()
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
            probe.bind((ip, 0))
            port = probe.getsockname()[1]
        return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"

    def reduce(
        self, backend: str, address: str, rank: int, size: int, wait_s: float
    ) -> tuple[float, float]:
        """The sum of all ranks + 1, and seconds of the quickest round."""
        import psutil
        import ray
        import torch
        from torch import distributed

        from persona_ray.launch.workers.torch_group import interface_of

        name = interface_of(ray.util.get_node_ip_address(), psutil.net_if_addrs())
        if name:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        distributed.init_process_group(
            backend,
            init_method=f"tcp://{address}",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=wait_s),
        )
        device = torch.device("cuda" if backend == "nccl" else "cpu")
        quickest, found = float("inf"), 0.0
        for _ in range(_ROUNDS):
            values: Any = torch.full((_MIB << 18,), float(rank + 1), device=device)
            begun = time.perf_counter()
            distributed.all_reduce(values)
            found = float(values[-1])
            quickest = min(quickest, time.perf_counter() - begun)
        distributed.destroy_process_group()
        return found, quickest
