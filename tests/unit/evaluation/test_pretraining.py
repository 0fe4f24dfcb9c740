"""What the report says of a pretraining run is what its curve says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.evaluation.report.pretraining import (
    PretrainingPoint,
    pretraining_runs,
    thinned,
)
from persona_ray.training.pretrain.curve import Curve
from tests.unit.evaluation.made_up import curve


def test_size_and_padding_are_sums_over_the_whole_run() -> None:
    whole = curve("speech", 4, 40, iteration=1)
    fast = replace(whole.points[1], size_per_s=1600.0, padding_share=0.5)
    mixed = replace(whole, points=(whole.points[0], fast))
    (run,) = pretraining_runs((mixed,))
    # 12 s at 160 with 7 % of padding, then 12 s at 1600 with half of it.
    assert run.size == pytest.approx(12 * 160 + 12 * 1600)
    padded = 12 * 160 / 0.93 + 12 * 1600 / 0.5
    assert run.padding_share == pytest.approx(1 - run.size / padded)
    assert run.wall_s == 24
    assert not run.complete
    assert [term.name for term in run.others] == ["feature_penalty"]
    assert run.last.loss == fast.terms["masked_units"]


def test_a_run_without_a_point_is_left_out() -> None:
    assert pretraining_runs((Curve("text", "tokens", 10, ()),)) == ()


@given(st.lists(st.floats(0, 10, width=32), min_size=1, max_size=700), st.integers(1, 300))
def test_thinned_curves_keep_range_and_end(losses: list[float], most: int) -> None:
    points = [PretrainingPoint(epoch=i, loss=loss, accuracy=0.5) for i, loss in enumerate(losses)]
    drawn = thinned(points, most)
    assert len(drawn) <= most
    assert drawn[-1].epoch == points[-1].epoch
    assert min(losses) - 1e-6 <= min(p.loss for p in drawn)
    assert max(p.loss for p in drawn) <= max(losses) + 1e-6
    if len(points) <= most:
        assert drawn == tuple(points)
