"""Scores against their plain definitions, on generated predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from persona_ray.evaluation.scores import (
    Prediction,
    by_customer,
    figures_of,
    majority,
    score_clips,
    score_customers,
)

LABELS = ("red", "blue", "yellow", "green")


@st.composite
def predictions(draw: st.DrawFn) -> list[Prediction]:
    size = draw(st.integers(1, 30))
    rows = []
    for i in range(size):
        weights = draw(st.lists(st.integers(1, 50), min_size=4, max_size=4))
        rows.append(
            Prediction(
                clip_id=f"clip{i}",
                customer_id=f"customer{draw(st.integers(0, 5))}",
                label=draw(st.sampled_from(LABELS)),
                probabilities={
                    name: weight / sum(weights)
                    for name, weight in zip(LABELS, weights, strict=True)
                },
            )
        )
    return rows


def best(probabilities: dict[str, float], rank: int = 0) -> str:
    # Python's sort is stable: of equals the first label wins.
    return sorted(LABELS, key=lambda name: -probabilities[name])[rank]


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_clip_scores_follow_their_definitions(rows: list[Prediction]) -> None:
    scores = score_clips(rows, LABELS, resamples=0)
    pairs = [(row.label, best(dict(row.probabilities))) for row in rows]

    assert scores.accuracy.value == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    for i, true in enumerate(LABELS):
        for j, answer in enumerate(LABELS):
            assert scores.confusion[i][j] == pairs.count((true, answer))
    recalls = [
        sum(a == b == name for a, b in pairs) / sum(a == name for a, _ in pairs)
        for name in {a for a, _ in pairs}
    ]
    assert scores.unweighted_recall.value == pytest.approx(sum(recalls) / len(recalls))
    f1 = []
    for name in {name for pair in pairs for name in pair}:
        hit = pairs.count((name, name))
        f1.append(2 * hit / (sum(a == name for a, _ in pairs) + sum(b == name for _, b in pairs)))
    assert scores.macro_f1.value == pytest.approx(sum(f1) / len(f1))
    hits = [row.label in {best(dict(row.probabilities), r) for r in (0, 1)} for row in rows]
    assert scores.top_two.value == pytest.approx(sum(hits) / len(hits))
    assert scores.right == sum(a == b for a, b in pairs)


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_customers_are_the_normalised_sum_of_their_clips(rows: list[Prediction]) -> None:
    for customer in by_customer(rows, LABELS):
        own = [row for row in rows if row.customer_id == customer.customer_id]
        assert customer.clips == len(own)
        assert sum(customer.probabilities.values()) == pytest.approx(1)
        for name in LABELS:
            mean = sum(row.probabilities[name] for row in own) / len(own)
            assert customer.probabilities[name] == pytest.approx(mean)
        votes = [row.label for row in own]
        assert votes.count(customer.label) == max(votes.count(name) for name in LABELS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_figures_of_a_confusion_matrix_equal_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    confusion = np.zeros((1, 4, 4))
    for i, j in pairs:
        confusion[0, i, j] += 1
    truth, answer = zip(*pairs, strict=True)
    accuracy, macro_f1, recall = figures_of(confusion)
    assert accuracy[0] == pytest.approx(accuracy_score(truth, answer))
    assert macro_f1[0] == pytest.approx(f1_score(truth, answer, average="macro", zero_division=0))
    assert recall[0] == pytest.approx(
        recall_score(truth, answer, labels=sorted(set(truth)), average="macro")
    )


def generated(customers: int, clips: int, seed: int, skill: float = 0.6) -> list[Prediction]:
    random = np.random.default_rng(seed)
    rows = []
    for c in range(customers):
        label = LABELS[c % 4]
        for k in range(clips):
            weights = random.dirichlet(np.ones(4))
            if random.random() < skill:
                weights = 0.3 * weights + 0.7 * np.eye(4)[LABELS.index(label)]
            rows.append(
                Prediction(
                    f"{c}-{k}", f"c{c}", label, dict(zip(LABELS, weights.tolist(), strict=True))
                )
            )
    return rows


def test_intervals_are_deterministic_and_hold_the_figure() -> None:
    rows = generated(24, 6, seed=1)
    first, again = (score_clips(rows, LABELS, resamples=500, seed=3) for _ in range(2))
    assert first == again
    for estimate in (first.accuracy, first.macro_f1, first.unweighted_recall, first.top_two):
        assert estimate.interval is not None
        low, high = estimate.interval
        assert 0 <= low <= estimate.value <= high <= 1
        assert low < high


def test_shares_of_the_confusion_are_rows_with_intervals_and_absent_labels_have_none() -> None:
    rows = [row for row in generated(24, 6, seed=1) if row.label != "yellow"]
    scores = score_clips(rows, LABELS, resamples=300)
    for label, counts, shares in zip(LABELS, scores.confusion, scores.shares, strict=True):
        if label == "yellow":
            assert shares == (None,) * 4
            continue
        for count, share in zip(counts, shares, strict=True):
            assert share is not None
            assert share.value == pytest.approx(count / sum(counts))
            assert share.interval is not None
            assert share.interval[0] <= share.value <= share.interval[1]
    (red, *_), *_ = scores.shares
    assert red is not None
    assert score_clips(rows, LABELS, resamples=0).shares[0][0] == red.model_copy(
        update={"interval": None}
    )


def test_interval_follows_customers_not_clips() -> None:
    """Copies of a customer's clips bring no new customers, hence no more certainty."""
    rows = generated(16, 3, seed=2)
    copies = [
        Prediction(f"{row.clip_id}-{n}", row.customer_id, row.label, row.probabilities)
        for n in range(8)
        for row in rows
    ]
    few, many = (score_clips(part, LABELS, resamples=400, seed=5) for part in (rows, copies))
    assert few.accuracy == many.accuracy


def test_interval_covers_the_true_accuracy_about_as_often_as_it_says() -> None:
    """Customers whose chance of being right is 0.6: nominal 95 %, small samples a bit less."""
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        rows = []
        for c in range(40):
            right = random.random() < 0.6
            label = LABELS[c % 4]
            answer = label if right else LABELS[(c + 1) % 4]
            rows.append(
                Prediction(f"{c}", f"c{c}", label, {n: 0.7 if n == answer else 0.1 for n in LABELS})
            )
        low, high = score_customers(rows, LABELS, resamples=300, seed=trial).accuracy.interval or (
            1.0,
            0.0,
        )
        covered += low <= 0.6 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_given_customer_labels_win_over_the_votes_of_clips() -> None:
    rows = generated(8, 3, seed=4, skill=1.0)
    turned = {f"c{c}": LABELS[(c + 1) % 4] for c in range(8)}
    assert score_customers(rows, LABELS, resamples=0).accuracy.value == 1
    assert score_customers(rows, LABELS, turned, resamples=0).accuracy.value == 0


def test_nothing_to_score_and_unknown_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="no predictions"):
        score_clips([], LABELS)
    with pytest.raises(ValueError, match="purple"):
        score_clips([Prediction("a", "b", "purple", dict.fromkeys(LABELS, 0.25))], LABELS)


def test_of_equal_votes_the_first_label_wins_whatever_came_first() -> None:
    assert majority(["green", "blue", "green"], LABELS) == "green"
    assert majority(["green", "blue"], LABELS) == majority(["blue", "green"], LABELS) == "blue"
