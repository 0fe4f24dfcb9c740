"""Replicas, nodes and money for many calls at once: `python -m benchmarks.capacity sizes`.

What is multiplied was measured on two cores (costs.yaml). A share of every core stays free, so that
sentences do not wait: the more recognisers share a queue, the less (recognisers.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.capacity import flops
from benchmarks.shared import markdown
from persona_ray.config.serving import LimitsConfig

HERE = Path(__file__).parent
SIZES = (100, 10_000, 1_000_000)
NODE_CORES = 16
# Of what a store and an ingress can take, so much is planned with.
_STORE_SHARE = _INGRESS_SHARE = 0.5
# Beside its sentences a call is written when it begins and ends; it lasts so long.
_WRITES_OF_CALL, _CALL_S = 2, 180


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
    gpus = servers(costs, load)
    ingress = calls * app["channels"] * costs["ingress_cores_per_call"]
    writes = sentences + calls * _WRITES_OF_CALL / _CALL_S
    return Plan(
        application=application,
        calls=calls,
        cores=servers(costs, calls * app["cores_per_call"]),
        gpus=gpus,
        gpu_cores=math.ceil(ingress / _INGRESS_SHARE),
        ingress=math.ceil(calls / LimitsConfig().max_live_calls),
        stores=math.ceil(writes / (_STORE_SHARE * costs["store_writes_per_s"]["postgresql"])),
        writes_per_s=writes,
        mb_per_s=calls * app["kb_per_s"] / 1000,
    )


def servers(costs: Any, load: float) -> int:
    """The fewest that have room for `load`, the mean number of those at work."""
    count = max(1, math.ceil(load))
    while load > count * busy_share(costs, count):
        count += 1
    return count


def busy_share(costs: Any, servers: int) -> float:
    """Simulated for some numbers of servers; it grows with the logarithm of them in between."""
    counts, shares = zip(*sorted(costs["busy_share"].items()), strict=True)
    return float(np.interp(math.log(servers), np.log(counts), shares))


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
    rows = []
    for one in plans(costs):
        small, large = one.money(prices)
        rows.append(
            (
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
        )
    return markdown(heads, rows)
