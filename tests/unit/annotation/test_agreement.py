"""Krippendorff's alpha and what stands beside it."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.corpus.annotation.agreement import measure_agreement, nominal_alpha

LABELS = st.sampled_from(["red", "blue", "yellow", "uncertain"])
CLIPS = st.lists(st.dictionaries(st.sampled_from("abcd"), LABELS, max_size=4), max_size=25)

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers,
# twelve units, missing values; nominal alpha = 0.743.
PUBLISHED = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]


def test_the_published_example() -> None:
    rows = [row.split() for row in PUBLISHED]
    clips = [
        {f"observer {n}": row[unit] for n, row in enumerate(rows) if row[unit] != "."}
        for unit in range(12)
    ]
    agreement = measure_agreement(clips, adjudicator="nobody")
    assert agreement.alpha == pytest.approx(0.743, abs=5e-4)
    assert agreement.clips == 11
    assert len(agreement.pairs) == 6


@given(CLIPS)
def test_alpha_is_one_minus_observed_over_expected_disagreement(
    clips: list[dict[str, str]],
) -> None:
    """The definition, pair by pair: Krippendorff 2004, section 11.3."""
    units = [list(clip.values()) for clip in clips if len(clip) > 1]
    values = [value for unit in units for value in unit]
    alpha = nominal_alpha(Counter(clip.values()) for clip in clips)
    if len(set(values)) < 2:
        assert alpha is None
        return
    observed = sum(
        sum(one != other for one, other in permutations(unit, 2)) / (len(unit) - 1)
        for unit in units
    ) / len(values)
    expected = sum(one != other for one, other in permutations(values, 2)) / (
        len(values) * (len(values) - 1)
    )
    assert alpha == pytest.approx(1 - observed / expected)


def test_each_pair_and_each_annotator_have_their_figures() -> None:
    clips = [
        {"a": "red", "b": "red", "c": "blue", "judge": "blue"},
        {"a": "blue", "b": "blue"},
        {"a": "red", "b": "blue"},
        {"c": "uncertain"},
    ]
    agreement = measure_agreement(clips, adjudicator="judge")
    pairs = {(pair.first, pair.second): (pair.clips, pair.same) for pair in agreement.pairs}
    assert pairs == {("a", "b"): (3, 2), ("a", "c"): (1, 0), ("b", "c"): (1, 0)}
    figures = {item.name: item for item in agreement.annotators}
    assert set(figures) == {"a", "b", "c"}
    assert (figures["a"].clips, figures["a"].same, figures["a"].compared) == (3, 2, 4)
    assert figures["c"].labels == {"blue": 1, "uncertain": 1}


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "no clip has two annotators"),
        ([{"a": "red"}, {"b": "blue"}], "no clip has two annotators"),
        ([{"a": "red", "judge": "blue"}], "no clip has two annotators"),
        ([{"a": "red", "b": "red"}, {"a": "blue"}], "all 1 clips bear the same label"),
    ],
)
def test_where_alpha_is_undefined_it_says_so(clips: list[dict[str, str]], message: str) -> None:
    agreement = measure_agreement(clips, adjudicator="judge")
    assert agreement.alpha is None
    assert message in agreement.describe()
