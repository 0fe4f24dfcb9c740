"""The paired comparison: against plain loops, and how often it blames chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from persona_ray.evaluation.paired import Paired, compare_paired
from persona_ray.evaluation.scores import Prediction

LABELS = ("red", "blue", "yellow", "green")
OF = {f"c{n}": LABELS[n % 4] for n in range(40)}


def answers(
    customers: int, clips: int, skill: float, seed: int, hardness: int = 0
) -> list[Prediction]:
    """Each clip right with a chance of `skill`, less where `hardness` makes a customer hard."""
    random, shared = np.random.default_rng(seed), np.random.default_rng(hardness)
    hard = 0.2 * shared.standard_normal(customers)
    rows = []
    for c in range(customers):
        for k in range(clips):
            label = OF[f"c{c}"]
            right = random.random() < skill + hard[c]
            said = label if right else str(random.choice([x for x in LABELS if x != label]))
            weights = {x: 0.7 if x == said else 0.1 for x in LABELS}
            rows.append(Prediction(f"{c}-{k}", f"c{c}", label, weights))
    return rows


def best(row: Prediction) -> str:
    return max(LABELS, key=lambda label: row.probabilities[label])


def test_figures_and_intervals_are_those_of_a_plain_loop() -> None:
    one, other = answers(9, 7, 0.5, 1), answers(9, 7, 0.6, 2)
    found = compare_paired(one, other, LABELS, resamples=4000)
    assert (found.customers, found.clips) == (9, 63)
    by_name = {figure.name: figure for figure in found.figures}
    truth = [row.label for row in one]
    for name, score in {
        "clip accuracy": accuracy_score,
        "clip macro-F1": lambda a, b: f1_score(a, b, average="macro"),
    }.items():
        assert by_name[name].first == pytest.approx(score(truth, [best(row) for row in one]))
        assert by_name[name].second == pytest.approx(score(truth, [best(row) for row in other]))
    random = np.random.default_rng(5)
    differences = []
    for _ in range(4000):
        chosen = random.choice(sorted({row.customer_id for row in one}), 9)
        pairs = [(a, b) for c in chosen for a, b in zip(one, other, strict=True)
                 if a.customer_id == c]  # fmt: skip
        hits = [(best(a) == a.label, best(b) == b.label) for a, b in pairs]
        differences.append(np.mean([b for _, b in hits]) - np.mean([a for a, _ in hits]))
    bounds = found.deciding.difference.interval
    assert bounds is not None
    assert bounds == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=0.015)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 99))
def test_swapping_the_two_turns_the_sign_and_order_does_not_matter(
    customers: int, clips: int, seed: int
) -> None:
    one, other = answers(customers, clips, 0.4, seed), answers(customers, clips, 0.7, seed + 1)
    there = compare_paired(one, other, LABELS, 200)
    back = compare_paired(other[::-1], one, LABELS, 200)
    for a, b in zip(there.figures, back.figures, strict=True):
        assert (a.first, a.second) == (b.second, b.first)
        assert a.difference.value == -b.difference.value
        assert a.difference.interval is not None
        assert b.difference.interval is not None
        low, high = b.difference.interval
        assert a.difference.interval == pytest.approx((-high, -low))
    same = compare_paired(one, one, LABELS, 200)
    assert not same.second_is_worse
    assert same.deciding.difference.interval == (0.0, 0.0)


def judged(first: float, second: float, rounds: int) -> list[Paired]:
    return [
        compare_paired(
            answers(12, 10, first, 2 * n, hardness=n),
            answers(12, 10, second, 2 * n + 1, hardness=n),
            LABELS,
            resamples=1000,
        )
        for n in range(rounds)
    ]


def test_an_equal_model_is_rarely_called_worse_and_a_worse_one_mostly() -> None:
    equal = judged(0.6, 0.6, 200)
    # One side of 95 %, and some more for so few customers.
    assert np.mean([p.second_is_worse for p in equal]) < 0.07
    worse = judged(0.6, 0.4, 50)
    assert np.mean([p.second_is_worse for p in worse]) > 0.8
    assert not any(p.second_is_worse for p in judged(0.4, 0.6, 50))


def test_customers_that_are_hard_for_both_do_not_blur_the_difference() -> None:
    widths = {}
    for name, hardness in {"same": 7, "other": 8}.items():
        first, second = answers(30, 12, 0.6, 1, 7), answers(30, 12, 0.6, 2, hardness)
        bounds = compare_paired(first, second, LABELS).deciding.difference.interval
        assert bounds is not None
        widths[name] = bounds[1] - bounds[0]
    assert widths["same"] < 0.85 * widths["other"]


def test_only_the_same_clips_are_compared() -> None:
    one = answers(3, 2, 0.5, 0)
    for other in ([], one[:-1]):
        with pytest.raises(ValueError, match="the same clips"):
            compare_paired(one, other, LABELS)
