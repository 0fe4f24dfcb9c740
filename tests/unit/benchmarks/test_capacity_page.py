"""docs/capacity.md says what the model says."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.capacity import flops, recognisers, sizes, training
from benchmarks.capacity.engine import Scale


def tables() -> dict[str, str]:
    costs, prices = sizes.read("costs.yaml"), sizes.read("prices.yaml")
    return {"sizes": sizes.table(costs, prices), "training": training.table(costs, prices)}


@pytest.mark.parametrize("name", ["sizes", "training"])
def test_the_page_shows_what_is_printed(name: str, repository: Path) -> None:
    page = (repository / "docs" / "capacity.md").read_text(encoding="utf-8")
    shown = page.split(f"<!-- {name} -->\n")[1].split("\n<!-- end -->")[0]
    assert shown == tables()[name]


def test_more_calls_want_more_of_everything() -> None:
    costs = sizes.read("costs.yaml")
    for application in costs["applications"]:
        few, many = (sizes.plan(costs, application, calls) for calls in (1000, 2000))
        assert few.cores < many.cores <= 2 * few.cores
        assert few.gpus <= many.gpus
        assert many.writes_per_s == pytest.approx(2 * few.writes_per_s)


def test_no_plan_shrinks_as_calls_grow() -> None:
    costs = sizes.read("costs.yaml")
    sizes_ = (*range(10, 500, 2), *range(500, 20_000, 100))
    plans = [sizes.plan(costs, "personality", calls) for calls in sizes_]
    for few, many in pairwise(plans):
        assert few.cores <= many.cores
        assert few.gpus <= many.gpus


def test_sentences_wait_no_longer_between_what_was_simulated() -> None:
    costs, servers, random = sizes.read("costs.yaml"), 6, np.random.default_rng(0)
    sentence_s, count = costs["sentence_s"], 2000
    per_s = servers * sizes.busy_share(costs, servers) / sentence_s
    arrivals_s = np.cumsum(random.exponential(1 / per_s, count))
    demands_s = random.gamma(4.0, sentence_s / 4.0, count)
    waited = recognisers.waits(arrivals_s, demands_s, Scale(servers))
    assert 0 < np.quantile(waited, 0.95) <= recognisers.WAIT_S


def test_a_death_costs_more_than_none_and_nothing_is_lost() -> None:
    arrivals_s, demands_s = np.arange(0.0, 60.0, 0.5), np.full(120, 0.4)
    calm = recognisers.waits(arrivals_s, demands_s, Scale(1))
    shaken = recognisers.waits(arrivals_s, demands_s, Scale(1, start_s=5.0), [20.1])
    assert calm == pytest.approx(0)
    # What was begun is done again by the one that starts 5 s later.
    assert shaken[40] == pytest.approx(5.1)
    assert shaken[-1] < shaken.max()


def test_operations_of_a_block_are_those_of_its_products() -> None:
    tokens, width = 7, 16
    products = 4 * [(tokens, width, width)] + [(tokens, width, 4 * width)]
    products += [(tokens, 4 * width, width), (tokens, width, tokens), (tokens, tokens, width)]
    assert flops.Blocks(3, width).flops(tokens) == 3 * sum(2 * a * b * c for a, b, c in products)


def test_checkpoints_are_where_they_lose_least() -> None:
    costs = sizes.read("costs.yaml")
    course, cluster = training.Course(), training.Cluster(64)
    best = training.pretraining(costs, course, cluster)

    def lost(minutes: float) -> float:
        between_s = cluster.node_days * 86_400 / cluster.nodes
        return course.checkpoint_s / (60 * minutes) + 30 * minutes / between_s

    assert lost(best.checkpoint_min) <= min(lost(best.checkpoint_min * f) for f in (0.8, 1.25))
