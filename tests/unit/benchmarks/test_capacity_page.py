"""docs/capacity.md says what the model says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.capacity import flops, sizes, training


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
