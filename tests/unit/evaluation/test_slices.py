"""Accuracy by condition, against picking the clips by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.evaluation.conditions import Condition, band
from persona_ray.evaluation.scores import Prediction, score_clips
from persona_ray.evaluation.slices import LEAST_CLIPS, LEAST_CUSTOMERS, measure_slices

LABELS = ("red", "blue", "yellow", "green")
SCENES = ("fund", "card", "loan")


def clips(seed: int, customers: int, each: int, skill: Sequence[float]) -> list[Prediction]:
    """Customer c calls about scene c modulo 3, where the share `skill` of answers is right."""
    random = np.random.default_rng(seed)
    rows = []
    for c in range(customers):
        for k in range(each):
            label = int(random.integers(4))
            right = random.random() < skill[c % 3]
            answer = label if right else (label + 1) % 4
            chances = {name: 0.7 if i == answer else 0.1 for i, name in enumerate(LABELS)}
            rows.append(Prediction(f"{c}-{k}", f"c{c:03d}", LABELS[label], chances))
    return rows


def scene_of(rows: Sequence[Prediction]) -> dict[str, tuple[Condition, ...]]:
    return {
        row.clip_id: (Condition("scene", SCENES[int(row.customer_id[1:]) % 3]),) for row in rows
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(9, 15), st.integers(5, 9))
def test_slices_are_the_clips_of_their_condition(seed: int, customers: int, each: int) -> None:
    rows = clips(seed, customers, each, (0.3, 0.6, 0.9))
    found = measure_slices("all", rows, scene_of(rows), resamples=0)
    (scene,) = found.dimensions
    assert sorted(part.name for part in scene.slices) == sorted(SCENES)
    for part in scene.slices:
        mine = [r for r in rows if SCENES[int(r.customer_id[1:]) % 3] == part.name]
        others = [r for r in rows if r not in mine]
        own, rest = (score_clips(part, LABELS, 0).accuracy.value for part in (mine, others))
        assert part.clips == len(mine)
        assert part.customers == len({r.customer_id for r in mine})
        assert part.accuracy.value == pytest.approx(own)
        assert part.difference is not None
        assert part.difference.value == pytest.approx(own - rest)


def test_the_scene_that_is_worse_stands_out_and_an_even_one_does_not() -> None:
    rows = clips(1, 90, 10, (0.8, 0.8, 0.3))
    (scene,) = measure_slices("all", rows, scene_of(rows)).dimensions
    parts = {part.name: part for part in scene.slices}
    loan = parts["loan"]
    assert loan.stands_out
    assert loan.difference is not None
    assert loan.difference.interval is not None
    assert loan.difference.interval[1] < -0.3
    even = clips(2, 90, 10, (0.6, 0.6, 0.6))
    (scene,) = measure_slices("all", even, scene_of(even)).dimensions
    assert not any(part.stands_out for part in scene.slices)


def test_the_difference_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(150):
        rows = clips(seed, 45, 4, (0.7, 0.5, 0.6))
        (scene,) = measure_slices("all", rows, scene_of(rows), 200, seed).dimensions
        fund = next(part for part in scene.slices if part.name == "fund")
        assert fund.difference is not None
        low, high = fund.difference.interval or (1.0, 0.0)
        covered += low <= 0.7 - 0.55 <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_small_slices_are_left_out_by_name_and_count() -> None:
    rows = clips(3, 30, 4, (0.5, 0.5, 0.5))
    conditions = {
        row.clip_id: (
            Condition("scene", "rare" if at < LEAST_CLIPS - 1 else "usual"),
            # Clips enough, of too few customers.
            Condition("codec", "mp3" if int(row.customer_id[1:]) < LEAST_CUSTOMERS - 1 else "ogg"),
        )
        for at, row in enumerate(rows)
    }
    scene, coded = measure_slices("all", rows, conditions, resamples=0).dimensions
    assert [part.name for part in scene.slices] == ["usual"]
    assert (scene.left_out, scene.left_out_clips) == (("rare",), LEAST_CLIPS - 1)
    assert coded.left_out == ("mp3",)
    # Nor is anything compared with so few.
    assert scene.slices[0].difference is None


def test_dimensions_in_which_all_are_alike_say_nothing() -> None:
    rows = clips(4, 12, 6, (0.5, 0.5, 0.5))
    conditions = {row.clip_id: (Condition("codec", "ogg"),) for row in rows}
    found = measure_slices("all", rows, conditions)
    assert found.dimensions == ()
    assert found.alike == ("codec",)


def test_bands_keep_their_order_and_names_go_by_size() -> None:
    rows = clips(5, 30, 8, (0.5, 0.5, 0.5))
    conditions = {
        row.clip_id: (band("length", float(at % 7), (2.0, 5.0), "s"), *scene_of([row])[row.clip_id])
        for at, row in enumerate(rows)
    }
    length, _ = measure_slices("all", rows, conditions, resamples=0).dimensions
    assert [part.name for part in length.slices] == ["under 2 s", "2 to 5 s", "5 s and over"]


def test_clips_without_label_or_condition_are_left_out() -> None:
    rows = clips(6, 30, 6, (0.5, 0.5, 0.5))
    blank = [Prediction(f"x{i}", "c000", "", rows[0].probabilities) for i in range(9)]
    known = scene_of(rows)
    found = measure_slices("all", [*rows, *blank], {**known, "x1": known[rows[0].clip_id]})
    assert found == measure_slices("all", rows, known)
    part = {name: known[name] for name in list(known)[:120]}
    (scene,) = measure_slices("all", rows, part, resamples=0).dimensions
    assert sum(s.clips for s in scene.slices) == 120
    with pytest.raises(ValueError, match="no labelled clip"):
        measure_slices("all", blank, known)
