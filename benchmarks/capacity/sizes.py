"""Replicas, nodes and money for many calls at once: `python -m benchmarks.capacity sizes`.

What is multiplied was measured on two cores (costs.yaml). A share of every core stays free, so that
sentences do not wait: the more recognisers share a queue, the less (`headroom`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simpy
import yaml

from benchmarks.capacity import flops
from benchmarks.capacity.engine import Batches, Course, Pool, Processors, Scale

HERE = Path(__file__).parent
SIZES = (100, 10_000, 1_000_000)
NODE_CORES, NODE_GPUS = 16, 8
# serving.limits.max_live_calls: of one ingress replica.
CALLS_OF_INGRESS = 64
# Of the writes that a store can take, so many are planned with.
_STORE_SHARE = 0.5
_WAIT_S, _SENTENCES = 0.5, 8000


@dataclass(frozen=True)
class Plan:
    """For `calls` at once of one application. `stores`: cells, each with a database of its own."""

    application: str
    calls: int
    cores: int
    gpus: int
    gpu_cores: int
    ingress: int
    stores: int
    writes_per_s: float
    mb_per_s: float

    def money(self, prices: Mapping[str, float]) -> tuple[float, float]:
        """An hour of it on processors alone, and with large models on GPUs."""
        core, gpu = prices["core_hour"], prices["gpu_hour"]
        return self.cores * core, self.gpus * gpu + self.gpu_cores * core


def read(name: str) -> Any:
    """costs.yaml or prices.yaml."""
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


def plans(costs: Any) -> Iterator[Plan]:
    for application in costs["applications"]:
        for calls in SIZES:
            yield plan(costs, application, calls)


def plan(costs: Any, application: str, calls: int) -> Plan:
    app, talk = costs["applications"][application], costs["conversation"]
    spoken_s = talk["speech_share"] / talk["sentences_per_s"]
    sentences = calls * app["channels"] * talk["sentences_per_s"]
    gpu = costs["gpu"]
    load = sentences * flops.sentence(spoken_s) / (1e12 * gpu["peak_tflops"] * gpu["serving_share"])
    gpus = math.ceil(load / busy_share(costs, load))
    busy = calls * app["cores_per_call"]
    cores = math.ceil(busy / busy_share(costs, busy))
    ingress_cores = math.ceil(calls * app["channels"] * costs["ingress_cores_per_call"] / 0.5)
    writes = sentences + calls * 2 / 180
    return Plan(
        application=application,
        calls=calls,
        cores=cores,
        gpus=gpus,
        gpu_cores=ingress_cores,
        ingress=math.ceil(calls / CALLS_OF_INGRESS),
        stores=math.ceil(writes / (_STORE_SHARE * costs["store_writes_per_s"]["postgresql"])),
        writes_per_s=writes,
        mb_per_s=calls * app["kb_per_s"] / 1000,
    )


def busy_share(costs: Any, servers: float) -> float:
    """Of the nearest smaller number of servers that was simulated."""
    known = {int(count): float(share) for count, share in costs["busy_share"].items()}
    return known[max((count for count in known if count <= servers), default=min(known))]


def headroom(servers: int, sentence_s: float) -> float:
    """The largest share that so many recognisers may be busy while 95 % of the sentences wait at
    most half a second for one, by simulation."""
    best = 0.0
    for percent in range(20, 100, 5):
        if _waits(servers, sentence_s, percent / 100) > _WAIT_S:
            break
        best = percent / 100
    return best


def _waits(servers: int, sentence_s: float, load: float) -> float:
    """The 95th percentile of what sentences wait for a recogniser."""
    env = simpy.Environment()
    place = Scale(least=servers)
    pool = Pool(env, lambda: Processors(env, 1.0), place, Batches(), 1, 10**9)
    random = np.random.default_rng(servers)
    # Sentences of unlike length: a deviation of half the mean.
    demands = random.gamma(4.0, sentence_s / 4.0, _SENTENCES)
    gaps = random.exponential(sentence_s / (servers * load), _SENTENCES)
    waits: list[float] = []

    def one(demand: float) -> Course:
        began = env.now
        yield pool.ask(demand)
        waits.append(env.now - began - demand)

    def source() -> Course:
        for gap, demand in zip(gaps, demands, strict=True):
            yield env.timeout(gap)
            env.process(one(float(demand)))

    env.process(source())
    env.run()
    return float(np.quantile(waits, 0.95))


def table(costs: Any, prices: Mapping[str, float]) -> str:
    """Markdown."""
    heads = (
        "application",
        "calls at once",
        "cores, small models",
        f"nodes of {NODE_CORES}",
        "an hour",
        "GPUs, large models",
        "cores beside them",
        "an hour",
        "ingress replicas",
        "writes /s",
        "stores",
        "MB/s in",
    )
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for one in plans(costs):
        small, large = one.money(prices)
        cells = (
            one.application,
            f"{one.calls:,}",
            f"{one.cores:,}",
            f"{math.ceil(one.cores / NODE_CORES):,}",
            f"{small:,.2f}",
            f"{one.gpus:,}",
            f"{one.gpu_cores:,}",
            f"{large:,.2f}",
            f"{one.ingress:,}",
            f"{one.writes_per_s:,.0f}",
            f"{one.stores:,}",
            f"{one.mb_per_s:,.0f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
