"""Hours and money of pretraining: `python -m benchmarks.capacity training`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.capacity import flops
from benchmarks.shared import markdown

# Forward and twice as much backward.
_PASSES = 3
_PARAMETERS = 317e6
CLIP_S = 6.0


@dataclass(frozen=True)
class Cluster:
    """`link_gb_per_s` between nodes; one of them fails once in `node_days` on average."""

    gpus: int
    gpus_of_node: int = 8
    link_gb_per_s: float = 25.0
    node_days: float = 90.0

    @property
    def nodes(self) -> int:
        return math.ceil(self.gpus / self.gpus_of_node)


@dataclass(frozen=True)
class Course:
    """`batch_s`: seconds of audio of one update, over all workers."""

    hours: float = 10_000
    epochs: int = 10
    batch_s: float = 20_000.0
    checkpoint_s: float = 20.0

    @property
    def updates(self) -> int:
        return math.ceil(self.hours * 3600 * self.epochs / self.batch_s)


@dataclass(frozen=True)
class Pretraining:
    """`compute_h` on all GPUs; `exchange_share` of an update is spent on gradients that nothing
    hides; `lost_h` by failures and checkpoints, with one every `checkpoint_min` minutes."""

    gpus: int
    updates: int
    compute_h: float
    exchange_share: float
    checkpoint_min: float
    lost_h: float
    storage_gb: float

    @property
    def hours(self) -> float:
        return self.compute_h / (1 - self.exchange_share) + self.lost_h

    def money(self, prices: Mapping[str, float]) -> float:
        return self.hours * self.gpus * prices["gpu_hour"]


def pretraining(costs: Any, course: Course, cluster: Cluster) -> Pretraining:
    gpu = costs["gpu"]
    speed = cluster.gpus * 1e12 * gpu["peak_tflops"] * gpu["training_share"]
    per_s = _PASSES * flops.speech(CLIP_S) / CLIP_S
    compute_s = course.hours * 3600 * course.epochs * per_s / speed
    # Ring all-reduce: each sends 2 (n - 1) / n of the gradients in bf16 (Patarasuk and Yuan 2009);
    # half of it is taken to hide behind the backward pass.
    sent_gb = 2 * (cluster.nodes - 1) / cluster.nodes * _PARAMETERS * 2 / 1e9
    exchange_s = 0.5 * sent_gb / cluster.link_gb_per_s
    update_s = compute_s / course.updates
    # Young 1974: the interval that loses least is sqrt(2 C M).
    between_s = cluster.node_days * 86_400 / cluster.nodes
    interval_s = math.sqrt(2 * course.checkpoint_s * between_s)
    whole_s = compute_s * (1 + exchange_s / update_s)
    lost_share = course.checkpoint_s / interval_s + (interval_s / 2 + 120) / between_s
    return Pretraining(
        gpus=cluster.gpus,
        updates=course.updates,
        compute_h=compute_s / 3600,
        exchange_share=exchange_s / (exchange_s + update_s),
        checkpoint_min=interval_s / 60,
        lost_h=whole_s * lost_share / 3600,
        storage_gb=course.hours * costs["corpus_mb_per_h"] / 1000,
    )


def rows(costs: Any, course: Course) -> Iterator[Pretraining]:
    for gpus in (1, 8, 64):
        yield pretraining(costs, course, Cluster(gpus))


def table(costs: Any, prices: Mapping[str, float], course: Course | None = None) -> str:
    """Markdown."""
    course = course or Course()
    heads = (
        "GPUs",
        "updates",
        "hours",
        "exchange",
        "checkpoint every",
        "lost to failures and checkpoints",
        "money",
        "corpus",
    )
    return markdown(
        heads,
        [
            (
                f"{one.gpus}",
                f"{one.updates:,}",
                f"{one.hours:,.1f}",
                f"{100 * one.exchange_share:.1f} %",
                f"{one.checkpoint_min:.0f} min",
                f"{60 * one.lost_h:.0f} min",
                f"{one.money(prices):,.0f}",
                f"{one.storage_gb:,.0f} GB",
            )
            for one in rows(costs, course)
        ],
    )
